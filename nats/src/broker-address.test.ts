import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '@paystream/runtime';
import { type BrokerSettings, brokerAddressOf } from './broker-address.ts';

describe('the settings of the way to the broker', () => {
  test('may name hosts that begin with digits', () => {
    expect(brokerAddressOf({ NATS_URI: 'tls://1.nats.test:4222, tls://2.nats.test' }).tls).toEqual({});
    for (const NATS_URI of ['nats://10.0.0.7:4222', 'a:4222', 'nats://[::1]:4222,b-1.test'])
      expect(brokerAddressOf({ NATS_URI }).tls).toBeUndefined();
  });

  test.each<[BrokerSettings, RegExp]>([
    [{ NATS_URI: 'nats://a:4222', NATS_CA_FILE: 'ca.pem' }, /NATS_URI: must say tls:.* where/],
    [{ NATS_URI: 'TLS://a:4222' }, /NATS_URI: must be tls/],
    [{ NATS_URI: 'tsl://a:4222' }, /NATS_URI: must be tls/],
    [{ NATS_URI: 'tls:/a:4222' }, /NATS_URI: must be tls/],
    [{ NATS_URI: 'wss://a:4222' }, /NATS_URI: must be tls/],
    [{ NATS_URI: 'tls://a:4222,nats://b:4222' }, /NATS_URI: must say tls:.* for every address/],
    [{ NATS_URI: 'tls://10.0.0.7:4222' }, /NATS_URI: must name each host/],
    [{ NATS_URI: 'tls://a:4222,tls://10.0.0.7' }, /NATS_URI: must name each host/],
    [{ NATS_URI: 'tls://[::1]:4222' }, /NATS_URI: must name each host/],
    [{ NATS_URI: 'tls://a:4222', NATS_CERT_FILE: 'c.pem' }, /NATS_CERT_FILE: needs NATS_KEY_FILE/],
    [{ NATS_URI: 'tls://a:4222', NATS_KEY_FILE: 'k.pem' }, /NATS_CERT_FILE: needs NATS_KEY_FILE/],
  ])('%j are refused at the start', (settings, words) => {
    expect(() => brokerAddressOf(settings)).toThrow(ConfigError);
    expect(() => brokerAddressOf(settings)).toThrow(words);
  });
});
