import { consumerDefinitions, type StreamOptions, streamDefaults, streamDefinitions } from './streams.ts';

export interface DefinitionFile {
  name: string;
  text: string;
}

/** What `nats stream add --config` and `nats consumer add --config` read, one file for each stream and consumer. */
export function definitionFiles(options: StreamOptions = streamDefaults): DefinitionFile[] {
  const streams = streamDefinitions(options).map((definition) => ({
    name: `${definition.name}.stream.json`,
    text: pretty(definition),
  }));
  const consumers = consumerDefinitions(options).map(({ stream, ...definition }) => ({
    name: `${stream}.${definition.durable_name}.consumer.json`,
    text: pretty(definition),
  }));
  return [...streams, ...consumers];
}

const pretty = (definition: object) => `${JSON.stringify(definition, null, 2)}\n`;
