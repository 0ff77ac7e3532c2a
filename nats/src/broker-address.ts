import { ConfigError, describeError } from '@paystream/runtime';
import type { TlsOptions } from 'nats';

/** The settings that say where the broker is, who we are, and whom we believe that it is the broker. */
export interface BrokerSettings {
  NATS_URI: string;
  NATS_USER?: string | undefined;
  NATS_PASSWORD?: string | undefined;
  NATS_CA_FILE?: string | undefined;
  NATS_CERT_FILE?: string | undefined;
  NATS_KEY_FILE?: string | undefined;
}

export interface BrokerAddress {
  /** One or more addresses, separated by commas. */
  uri: string;
  user?: string | undefined;
  password?: string | undefined;
  /** With it, nothing but the handshake is said to a broker that does not prove who it is. */
  tls?: TlsOptions | undefined;
}

/** Throws a ConfigError where the settings contradict each other: TLS for some only would send the password in the clear. */
export function brokerAddressOf(settings: BrokerSettings): BrokerAddress {
  const { NATS_URI, NATS_USER, NATS_PASSWORD, NATS_CA_FILE, NATS_CERT_FILE, NATS_KEY_FILE } = settings;
  const addresses = addressesOf(NATS_URI);
  const asking = addresses.map((address) => tlsScheme.test(address));
  const asksForTls = asking.includes(true);
  const files = { caFile: NATS_CA_FILE, certFile: NATS_CERT_FILE, keyFile: NATS_KEY_FILE };
  const given = Object.entries(files).flatMap(([name, path]) => (path === undefined ? [] : [[name, path]]));
  const rules: [boolean, string][] = [
    [addresses.every(isAddress), 'NATS_URI: must be tls://host:port or nats://host:port'],
    [!asksForTls || !asking.includes(false), 'NATS_URI: must say tls:// for every address, or for none'],
    [
      !asksForTls || !addresses.some(isNumeric),
      'NATS_URI: must name each host behind tls://, as its certificate does',
    ],
    [
      asksForTls || given.length === 0,
      'NATS_URI: must say tls:// where NATS_CA_FILE or NATS_CERT_FILE is set',
    ],
    [
      (NATS_CERT_FILE === undefined) === (NATS_KEY_FILE === undefined),
      'NATS_CERT_FILE: needs NATS_KEY_FILE, and the reverse',
    ],
  ];
  const wrong = rules.flatMap(([holds, words]) => (holds ? [] : [words]));
  if (wrong.length > 0) throw new ConfigError(wrong);
  const tls: TlsOptions = Object.fromEntries(given);
  return { uri: NATS_URI, user: NATS_USER, password: NATS_PASSWORD, ...(asksForTls ? { tls } : {}) };
}

const tlsScheme = /^tls:\/\//;
// The client passes over a scheme that it does not know: a misspelt tls:// would be no TLS.
const isAddress = (address: string) => /^((tls|nats):\/\/)?(\[[\da-f:]+\]|[\w.-]+)(:\d+)?$/.test(address);
// The client looks for `localhost` in the certificate of a numeric address, whatever the address is (tried).
const isNumeric = (address: string) => /^tls:\/\/(\[|[\d.]+(:\d+)?$)/.test(address);

export const addressesOf = (uri: string) => uri.split(',').map((address) => address.trim());

/** Why there is no connection, and what to do about it where the client's own words leave that open. */
export function describeBrokerFailure(error: unknown, { tls }: Pick<BrokerAddress, 'tls'>): string {
  const message = describeError(error);
  const code = error instanceof Error && 'code' in error ? error.code : '';
  // A broker that wants TLS gets it in any case, so its certificate can be wrong where nobody asked for one.
  const hints = tls === undefined ? certificateHints : [...certificateHints, ...tlsHints];
  const [, hint] = hints.find(([seen]) => seen.test(`${message} ${code}`)) ?? [];
  return hint === undefined ? message : `${message}; ${hint}`;
}

type Hint = readonly [RegExp, string];

const certificateHints: readonly Hint[] = [
  [
    /self.signed certificate|unable to (verify|get)/i,
    'name the CA that signed the certificate of the broker in NATS_CA_FILE',
  ],
  [/certificate's altnames/, 'name the broker in NATS_URI as its certificate does'],
  [/certificate has expired/, 'renew the certificate of the broker'],
];

const tlsHints: readonly Hint[] = [
  [/SERVER_OPT_NA/, 'NATS_URI says tls:// and the broker offers none; it was told nothing'],
  // A broker that wants a certificate and is shown none, or the wrong one, only hangs up.
  [
    /TIMEOUT|ECONNRESET|alert/i,
    'where the broker asks for a certificate, set NATS_CERT_FILE and NATS_KEY_FILE',
  ],
];
