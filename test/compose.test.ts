import { parseEnv } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '@paystream/runtime';
import { configSchema as startSchema } from '../local/src/config.ts';
import { nodeFlags } from '../local/src/service.ts';
import { configSchema as provisionSchema } from '../nats/src/config.ts';
import { configSchema as paymentSchema } from '../payment-service/src/config.ts';
import { configSchema as gatewaySchema } from '../third-party-gateway/src/config.ts';
import {
  type ComposeService,
  environmentOf,
  interpolations,
  read,
  readCompose,
  readDockerfile,
} from './compose-file.ts';

const compose = readCompose();
const services: Record<string, ComposeService> = compose.services;
const { nats, mongo, provision, gateway, payments } = compose.services;
const everyService = Object.entries(services);
const conf = read('nats/nats-server.conf');
const example: Record<string, string | undefined> = parseEnv(read('.env.example'));
/** As a person sets them who sets only what is needed. */
const variables = Object.fromEntries(
  interpolations().map(({ name, rest }) => [
    name,
    rest.startsWith(':-') ? rest.slice(2) : `p${name.toLowerCase()}`,
  ]),
);

const ours = [
  { name: 'provision', service: provision, schema: provisionSchema },
  { name: 'gateway', service: gateway, schema: gatewaySchema },
  { name: 'payments', service: payments, schema: paymentSchema },
];
const images = ['third-party-gateway', 'payment-service'].map((workspace) => ({
  workspace,
  ...readDockerfile(`${workspace}/Dockerfile`),
}));
const imageOf = ({ build }: ComposeService) =>
  images.find(({ workspace }) => build?.dockerfile === `${workspace}/Dockerfile`);
const secondsOf = (text: string | undefined) => Number(/^(\d+)s$/.exec(text ?? '')?.[1]);

/** As parseConfig takes it: an empty value means "not set". */
const givenOf = (environment: Record<string, string>) =>
  Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));

describe('docker-compose.yml', () => {
  test.each(ours)(
    'gives $name only variables that it knows, and values that it takes',
    ({ service, schema }) => {
      const environment = environmentOf(service, variables);

      expect(Object.keys(environment).filter((name) => !(name in schema.shape))).toEqual([]);
      expect(schema.safeParse(givenOf(environment)).error).toBeUndefined();
    },
  );

  test('gives all three the settings of the streams, so that none finds what another has made wrong', () => {
    const said = {
      ...variables,
      STREAM_MAX_BYTES: '500000000',
      DUPLICATE_WINDOW: '5m',
      REPLAY_MODE: 'broker',
    };
    const parsed = ours.map(({ service, schema }) => schema.parse(givenOf(environmentOf(service, said))));

    for (const streams of parsed)
      expect(streams).toMatchObject({
        STREAM_MAX_BYTES: 500_000_000,
        DUPLICATE_WINDOW: 300_000,
        REPLAY_MODE: 'broker',
      });
  });

  test('takes no variable that .env.example does not name', () => {
    expect(interpolations().filter(({ name }) => !(name in example))).toEqual([]);
  });

  test('needs every password, and has no default for one', () => {
    const secrets = interpolations().filter(({ name }) => name.includes('PASSWORD'));

    expect(new Set(secrets.map(({ name }) => name)).size).toBe(4);
    expect(secrets.filter(({ rest }) => !/^:\?./.test(rest))).toEqual([]);
  });

  test('publishes on 127.0.0.1 only, at the ports of npm start, and neither the broker nor the database', () => {
    const { GATEWAY_PORT, PAYMENT_PORT } = parseConfig(startSchema, {});

    expect(Object.fromEntries(everyService.map(([name, { ports }]) => [name, ports]))).toEqual({
      gateway: [`127.0.0.1:\${GATEWAY_PORT:-${GATEWAY_PORT}}:${gateway.environment?.PORT}`],
      payments: [`127.0.0.1:\${PAYMENT_PORT:-${PAYMENT_PORT}}:${payments.environment?.PORT}`],
    });
  });

  test('hands the operators to the two services that know them, and to nothing else', () => {
    const entry = `anna:operator:${'a'.repeat(64)}`;
    const { HOST, OPERATOR_TOKENS } = environmentOf(payments, { ...variables, OPERATOR_TOKENS: entry });
    const others = everyService.filter(([, { environment = {} }]) => 'OPERATOR_TOKENS' in environment);

    expect([HOST, OPERATOR_TOKENS]).toEqual(['0.0.0.0', entry]);
    expect(paymentSchema.shape.OPERATOR_TOKENS.parse(OPERATOR_TOKENS)).toHaveLength(1);
    expect(
      gatewaySchema.shape.OPERATOR_TOKENS.parse(
        environmentOf(gateway, { ...variables, OPERATOR_TOKENS: entry }).OPERATOR_TOKENS,
      ),
    ).toHaveLength(1);
    expect(others.map(([name]) => name)).toEqual(['gateway', 'payments']);
  });

  test('pins every image to a release', () => {
    const pinned = [
      ...everyService.flatMap(([, { image = [] }]) => image),
      ...images.flatMap(({ from }) => from),
    ].filter((image) => image !== 'manifests');

    expect(pinned.length).toBeGreaterThan(3);
    expect(pinned.filter((image) => !/^[a-z/-]+:\d+\.\d+\.\d+(-[a-z-]+)?$/.test(image))).toEqual([]);
    expect(nats.image).toMatch(/^nats:2\.(1[2-9]|[2-9]\d)\./);
  });

  test('declares every volume and network that it uses, and uses every one that it declares', () => {
    const volumes = everyService
      .flatMap(([, service]) => service.volumes ?? [])
      .map((volume) => volume.split(':')[0] ?? '')
      .filter((source) => !/^[.$]/.test(source));
    const networks = everyService.flatMap(([, service]) => service.networks);

    expect(volumes.sort()).toEqual(Object.keys(compose.volumes).sort());
    expect([...new Set(networks)].sort()).toEqual(Object.keys(compose.networks).sort());
  });

  test('waits only for what can come: a health check or an end', () => {
    for (const [, { depends_on = {} }] of everyService) {
      for (const [name, { condition }] of Object.entries(depends_on)) {
        const target = services[name];
        const hasCheck = target?.healthcheck !== undefined && 'test' in target.healthcheck;
        if (condition === 'service_healthy') expect([name, hasCheck]).toEqual([name, true]);
        if (condition === 'service_completed_successfully') expect(target?.restart).toBe('no');
      }
    }
    expect(gateway.depends_on?.provision).toEqual({ condition: 'service_completed_successfully' });
    expect(payments.depends_on?.provision).toEqual({ condition: 'service_completed_successfully' });
    expect(provision.depends_on?.nats).toEqual({ condition: 'service_healthy' });
  });

  test('confines what runs our code', () => {
    for (const { service } of ours) {
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        init: true,
      });
    }
  });

  test('starts the services again when they die, and lets them finish their 10 s of stopping', () => {
    for (const service of [nats, mongo, gateway, payments]) {
      expect(service.restart).toBe('unless-stopped');
      expect(secondsOf(service.stop_grace_period)).toBeGreaterThan(10);
    }
  });

  test('lets only payment-service reach the database, and nobody outside of it or the broker', () => {
    const inNetwork = (network: string) =>
      everyService.filter(([, { networks }]) => networks.includes(network)).map(([name]) => name);

    expect(inNetwork('database').sort()).toEqual(['mongo', 'payments']);
    expect(inNetwork('edge').sort()).toEqual(['gateway', 'payments']);
    expect(compose.networks.database?.internal && compose.networks.broker?.internal).toBe(true);
  });

  test('makes a replica set of the name that payment-service asks for', () => {
    const name = mongo.command?.[mongo.command.indexOf('--replSet') + 1];
    const check = JSON.stringify(mongo.healthcheck);

    expect(payments.environment?.MONGO_URI).toMatch(
      new RegExp(`^mongodb://mongo:27017/\\w+\\?replicaSet=${name}$`),
    );
    expect(check).toContain(`_id: '${name}'`);
    expect(check).toContain("host: 'mongo:27017'");
  });
});

describe('docker-compose.yml and nats/nats-server.conf', () => {
  test('name the same users with the same passwords', () => {
    const users = [...conf.matchAll(/user: (\w+)\s+password: \$(\w+)/g)].map(([, user, variable]) => [
      user,
      variable,
    ]);
    const used = everyService
      .map(([, { environment = {} }]) => [environment.NATS_USER, environment.NATS_PASSWORD])
      .filter(([user]) => user !== undefined)
      .map(([user, password]) => [user, /^\$\{(\w+)/.exec(password ?? '')?.[1]]);

    expect(used.sort()).toEqual(users.sort());
    for (const [, variable = ''] of users) expect(nats.environment?.[variable]).toContain(`\${${variable}:?`);
  });

  test('agree on the file, the folder, the ports and the syncing', () => {
    const folder = /store_dir: "([^"]+)"/.exec(conf)?.[1];
    const port = /^listen: "[\d.]+:(\d+)"/m.exec(conf)?.[1];
    const monitor = /^http: "[\d.]+:(\d+)"/m.exec(conf)?.[1];
    const file = nats.command?.at(-1);

    expect(nats.volumes).toEqual([`./nats/nats-server.conf:${file}:ro`, `nats-data:${folder}`]);
    expect(JSON.stringify(nats.healthcheck)).toContain(`http://127.0.0.1:${monitor}/healthz`);
    for (const { service } of ours) expect(service.environment?.NATS_URI).toBe(`nats://nats:${port}`);
    expect(/sync_interval: (\w+)/.exec(conf)?.[1]).toBe(gateway.environment?.BROKER_SYNC);
    expect(payments.environment?.BROKER_SYNC).toBe(gateway.environment?.BROKER_SYNC);
  });
});

test.each(['gateway', 'payments'])('npm run %s bounds the heap as the images do', (name) => {
  const { scripts } = JSON.parse(read('package.json'));

  expect(scripts[name]).toContain(` ${nodeFlags.join(' ')} `);
});

describe.each(images)(
  '$workspace/Dockerfile',
  ({ workspace, text, command, healthcheck, env, user, copies, from }) => {
    const manifestOf = (path: string) => JSON.parse(read(`${path}/package.json`));
    const inside = (path: string): string[] => {
      const names = Object.keys(manifestOf(path).dependencies).filter((name) =>
        name.startsWith('@paystream/'),
      );
      return [...new Set([path, ...names.flatMap((name) => inside(name.replace('@paystream/', '')))])];
    };

    test('runs the built code in exec form, as compose does, and not as root', () => {
      const service = ours.find(
        ({ service }) => service.build?.dockerfile.startsWith(workspace) && service.restart !== 'no',
      );

      expect(command).toEqual(['node', `${workspace}/dist/main.js`]);
      expect(service?.service.command).toEqual(command);
      expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
      const PORT = service?.service.environment?.PORT;
      expect(env).toEqual({ NODE_ENV: 'production', PORT, NODE_OPTIONS: nodeFlags.join(' ') });
    });

    test('bounds the heap, in a container that has room for it and for what lies beside it', () => {
      const service = ours.find(({ service }) => service.build?.dockerfile.startsWith(workspace));
      const [, heapMb] = /^--max-old-space-size=(\d+)$/.exec(env.NODE_OPTIONS ?? '') ?? [];
      const [, containerMb] = /^(\d+)m$/.exec(service?.service.mem_limit ?? '') ?? [];

      expect(Number(containerMb)).toBeGreaterThanOrEqual(Number(heapMb) + 200);
    });

    test('asks /readyz for its health', () => {
      expect(healthcheck[0]).toBe('node');
      expect(healthcheck.at(-1)).toContain('/readyz');
    });

    test('installs from the lock file: every workspace for npm, and only what runs at the end', () => {
      const { workspaces } = JSON.parse(read('package.json'));
      const manifests = [...text.matchAll(/^COPY (\S+)\/package\.json/gm)].map(([, path]) => path);

      expect(manifests.sort()).toEqual([...workspaces].sort());
      expect(text).toMatch(new RegExp(`npm ci .*--omit=dev --workspace ${workspace}$`, 'm'));
      expect(text).not.toMatch(/npm (install|i) /);
      expect(from.filter((image) => image !== 'manifests').every((image) => image === from[0])).toBe(true);
    });

    test('holds the built code of every workspace that it needs, and no other', () => {
      const dists = copies.filter(([, target]) => target.endsWith('/dist'));

      expect(dists.map(([, target]) => target.replace('/dist', '')).sort()).toEqual(inside(workspace).sort());
      expect(dists.filter(([source, target]) => source !== `/app/${target}`)).toEqual([]);
    });
  },
);

describe('the images', () => {
  test('can run the provision command', () => {
    const [path = ''] = provision.command?.slice(1) ?? [];

    expect(provision.command?.[0]).toBe('node');
    expect(imageOf(provision)?.copies.some(([, target]) => path.startsWith(`${target}/`))).toBe(true);
  });

  test('are built from what is let in by name: no .env, no data, no node_modules', () => {
    const lines = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const letIn = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));

    expect(lines[0]).toBe('*');
    expect(
      letIn.filter(
        (path) => !/^(\.npmrc|\*\/(package|tsconfig)\.json|[\w.-]+\.json|[a-z-]+\/src)$/.test(path),
      ),
    ).toEqual([]);
  });
});
