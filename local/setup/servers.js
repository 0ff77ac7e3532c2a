// What we need of each server, and how to tell what is there. No fetching here: `npm start` and the tests use this too.

/** @typedef {'nats-server' | 'mongod'} ServerName */

/**
 * @typedef {object} Server
 * @property {ServerName} name
 * @property {string} versionMin
 * @property {RegExp} version what `<name> --version` prints
 * @property {string} given the variable that names a running one
 * @property {string} install
 */

/** @type {Record<ServerName, Server>} */
export const SERVERS = {
  'nats-server': {
    name: 'nats-server',
    // 2.11 is the oldest whose consumers and streams have all that we set.
    versionMin: '2.11.0',
    version: /nats-server: v(\d+\.\d+\.\d+)/,
    given: 'NATS_URI',
    install: 'nats-server 2.11 or newer (https://github.com/nats-io/nats-server/releases)',
  },
  mongod: {
    name: 'mongod',
    versionMin: '6.0.0',
    version: /db version v(\d+\.\d+\.\d+)/,
    given: 'MONGO_URI',
    install: 'mongod 6.0 or newer (https://www.mongodb.com/try/download/community)',
  },
};

/** @param {string} a @param {string} b */
export function isOlder(a, b) {
  return compareVersions(a, b) < 0;
}

/** @param {string} a @param {string} b */
export function compareVersions(a, b) {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let i = 0; i < 3; i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
