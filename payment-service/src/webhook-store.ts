/** A webhook as it came, of which events were made, or not. */
export interface KeptWebhook {
  id: string;
  source: string;
  /** The source's own id of it, where it stands outside of the body. */
  deliveryId?: string | undefined;
  receivedAt: Date;
  body: string;
  /** What was not understood, one line each; empty where all of it was. */
  reasons: string[];
}

/** What an operator had done with it, and what came of it. */
export interface TranslationRecord {
  at: Date;
  by: string;
  reason: string;
  /** How many events were published, and how many of them were known to the broker. */
  messages: number;
  duplicates: number;
}

export interface StoredWebhook extends KeptWebhook {
  expiresAt: Date;
  translations: TranslationRecord[];
}

/** Bodies for people to look at; no state is derived from them. Rejects with StoreUnavailable while the database is away. */
export interface WebhookStore {
  /** Keeps each once, whoever writes first. Resolves with those that the database refuses for what they are, and why. */
  keep(webhooks: readonly KeptWebhook[]): Promise<ReadonlyMap<string, string>>;
  find(id: string): Promise<StoredWebhook | undefined>;
  /** Adds what was done, with what is still not understood. */
  addTranslation(id: string, translation: TranslationRecord, reasons: readonly string[]): Promise<void>;
}
