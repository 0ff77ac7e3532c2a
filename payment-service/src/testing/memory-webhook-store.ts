import type { KeptWebhook, WebhookStore } from '../webhook-store.ts';

/** Webhooks in memory, each as it was kept first. */
export function createMemoryWebhookStore(): WebhookStore & { kept: Map<string, KeptWebhook> } {
  const kept = new Map<string, KeptWebhook>();
  return {
    kept,
    keep: async (webhooks) => {
      for (const webhook of webhooks) if (!kept.has(webhook.id)) kept.set(webhook.id, webhook);
      return new Map();
    },
    find: async (id) => {
      const found = kept.get(id);
      return found === undefined ? undefined : { ...found, expiresAt: found.receivedAt, translations: [] };
    },
    addTranslation: async () => undefined,
  };
}
