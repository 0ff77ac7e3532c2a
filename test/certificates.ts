// First, since x509 wants it to be there when it is loaded.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as typeof globalThis.crypto);
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const hourMs = 3_600_000;

export interface Certificate {
  certFile: string;
  keyFile: string;
  /** Both in one file, as MongoDB wants them. */
  pemFile: string;
}

export interface Authority {
  caFile: string;
  /** A certificate for a server of these names, or for a client. */
  issue(name: string, options?: { names?: readonly string[]; expired?: boolean }): Promise<Certificate>;
}

/** A certificate authority of the test's own, with its files in the folder. */
export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const from = new Date(Date.now() - 2 * hourMs);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: from,
    notAfter: new Date(Date.now() + 24 * hourMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const caFile = join(folder, `${name}.pem`);
  writeFileSync(caFile, ca.toString('pem'));

  return {
    caFile,
    issue: async (subject, { names = [], expired = false } = {}) => {
      const own = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${subject}`,
        issuer: ca.subject,
        notBefore: from,
        notAfter: new Date(Date.now() + (expired ? -hourMs : 24 * hourMs)),
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [
          new x509.ExtendedKeyUsageExtension([
            x509.ExtendedKeyUsage.serverAuth,
            x509.ExtendedKeyUsage.clientAuth,
          ]),
          new x509.SubjectAlternativeNameExtension(
            names.map((value) => ({ type: /^[\d.]+$/.test(value) ? 'ip' : 'dns', value })),
          ),
        ],
      });
      const key = x509.PemConverter.encode(
        await webcrypto.subtle.exportKey('pkcs8', own.privateKey),
        'PRIVATE KEY',
      );
      const file = (end: string) => join(folder, `${name}-${subject}${end}`);
      const written = { certFile: file('.crt'), keyFile: file('.key'), pemFile: file('.pem') };
      writeFileSync(written.certFile, certificate.toString('pem'));
      writeFileSync(written.keyFile, key, { mode: 0o600 });
      writeFileSync(written.pemFile, `${certificate.toString('pem')}\n${key}\n`, { mode: 0o600 });
      return written;
    },
  };
}
