import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const read = (path: string) => readFileSync(join(root, path), 'utf8');

const execForm = z.array(z.string()).min(1);
const condition = z.enum(['service_started', 'service_healthy', 'service_completed_successfully']);
const serviceSchema = z.strictObject({
  image: z.string().optional(),
  build: z.strictObject({ context: z.string(), dockerfile: z.string() }).optional(),
  command: execForm.optional(),
  profiles: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  ports: z.array(z.string()).optional(),
  volumes: z.array(z.string()).optional(),
  tmpfs: z.array(z.string()).optional(),
  networks: z.array(z.string()).min(1),
  depends_on: z.record(z.string(), z.strictObject({ condition })).optional(),
  healthcheck: z
    .union([
      z.strictObject({ disable: z.literal(true) }),
      z.strictObject({
        test: execForm,
        interval: z.string(),
        timeout: z.string(),
        retries: z.int(),
        start_period: z.string(),
      }),
    ])
    .optional(),
  restart: z.enum(['no', 'unless-stopped']).optional(),
  stop_grace_period: z.string().optional(),
  init: z.boolean().optional(),
  read_only: z.boolean().optional(),
  cap_drop: z.array(z.string()).optional(),
  security_opt: z.array(z.string()).optional(),
  pids_limit: z.int().optional(),
  mem_limit: z.string(),
  logging: z.strictObject({ driver: z.string(), options: z.record(z.string(), z.string()) }),
});
export type ComposeService = z.infer<typeof serviceSchema>;

/** The part of the compose specification that our file uses: a misspelt key fails here as it does in Docker. */
const composeSchema = z.strictObject({
  name: z.string(),
  services: z.strictObject({
    nats: serviceSchema,
    mongo: serviceSchema,
    provision: serviceSchema,
    gateway: serviceSchema,
    payments: serviceSchema,
    'nats-box': serviceSchema,
  }),
  networks: z.record(z.string(), z.strictObject({ internal: z.boolean().optional() })),
  volumes: z.record(z.string(), z.strictObject({})),
});
export type Compose = z.infer<typeof composeSchema>;

/** docker-compose.yml with its anchors merged in. */
export function readCompose(): Compose {
  const document: Record<string, unknown> = parse(read('docker-compose.yml'), { merge: true });
  const withoutExtensions = Object.entries(document).filter(([key]) => !key.startsWith('x-'));
  return composeSchema.parse(Object.fromEntries(withoutExtensions));
}

/** Every `${NAME}` of the file, with what stands behind the name: `:?why` (needed) or `:-default`. */
export function interpolations(): { name: string; rest: string }[] {
  const text = read('docker-compose.yml').replaceAll(/^\s*#.*$/gm, '');
  return [...text.matchAll(/(?<!\$)\$\{(\w+)([^}]*)\}/g)].map(([, name = '', rest = '']) => ({ name, rest }));
}

/** The environment of a container, with the variables of the file replaced. */
export function environmentOf(
  { environment = {} }: ComposeService,
  variables: Record<string, string>,
): Record<string, string> {
  const replace = (text: string) =>
    text.replaceAll(/\$\{(\w+)[^}]*\}/g, (_whole, name: string) => variables[name] ?? '');
  return Object.fromEntries(Object.entries(environment).map(([name, text]) => [name, replace(text)]));
}

export interface Dockerfile {
  text: string;
  from: string[];
  /** Of the last stage. */
  command: string[];
  healthcheck: string[];
  env: Record<string, string>;
  user: string;
  /** What the last stage takes from the others: [source, target]. */
  copies: [string, string][];
}

export function readDockerfile(path: string): Dockerfile {
  const text = read(path)
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ');
  const last = text.slice(text.lastIndexOf('\nFROM '));
  const one = (pattern: RegExp) => pattern.exec(last)?.[1] ?? '';
  const env = one(/^ENV (.+)$/m)
    .split(' ')
    .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
  return {
    text,
    from: [...text.matchAll(/^FROM (\S+)/gm)].map(([, image = '']) => image),
    command: execForm.parse(JSON.parse(one(/^CMD (.+)$/m))),
    healthcheck: execForm.parse(JSON.parse(one(/^HEALTHCHECK .*?CMD (.+)$/m))),
    env: Object.fromEntries(env),
    user: one(/^USER (\S+)$/m),
    copies: [...last.matchAll(/^COPY (?:--from=\S+ )?(\S+) (\S+)$/gm)].map(([, from = '', to = '']) => [
      from,
      to,
    ]),
  };
}
