import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import { ConfigError } from './config.ts';
import { describeError } from './pause.ts';
import { Problem } from './problems.ts';

export const operatorRoles = ['viewer', 'operator'] as const;
export type OperatorRole = (typeof operatorRoles)[number];

/** A person who may look (viewer) or also change things (operator), by the SHA-256 of a token. */
export interface OperatorToken {
  name: string;
  role: OperatorRole;
  tokenHash: Buffer;
}

const linePattern = /^([a-z0-9][a-z0-9_.-]{0,62}):(viewer|operator):([0-9a-f]{64})$/;

/** `name:role:sha256 of the token`, one a line (or separated by commas); empty lines and `#` lines are passed over. */
export const operatorTokensSetting = z
  .string()
  .default('')
  .transform((text, context): OperatorToken[] => {
    const lines = text.split(/[\n,]/).map((line) => line.trim());
    const tokens: OperatorToken[] = [];
    for (const [index, line] of lines.entries()) {
      if (line === '' || line.startsWith('#')) continue;
      const [, name = '', role, hash = ''] = linePattern.exec(line) ?? [];
      if (role === 'viewer' || role === 'operator')
        tokens.push({ name, role, tokenHash: Buffer.from(hash, 'hex') });
      // The line itself may hold a token by mistake: it is not repeated.
      else
        context.addIssue(
          `entry ${index + 1} must be <name>:<viewer|operator>:<sha256 of the token, 64 hex digits>`,
        );
    }
    return tokens;
  });

/** The text of the file that a setting names, or a ConfigError. */
export function readSecretFile(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError([`${setting}: ${describeError(error)}`]);
  }
}

export interface Door {
  /** Lets a request through when its bearer token has the role; an operator may look as well. */
  needs(role: OperatorRole): RequestHandler;
}

/**
 * Who may do what. Looking is free where only this machine can ask (`open`); changing always needs an operator, so
 * without any token nobody can.
 */
export function createDoor({ tokens, open }: { tokens: readonly OperatorToken[]; open: boolean }): Door {
  return {
    needs: (role) => (req, res, next) => {
      if (role === 'viewer' && open) return next();
      if (tokens.length === 0) {
        throw new Problem(
          'forbidden',
          'No operator token is configured here (OPERATOR_TOKENS), so nobody may do this.',
        );
      }
      const given = /^Bearer ([\x21-\x7e]{1,256})$/i.exec(req.headers.authorization ?? '')?.[1];
      const person = given === undefined ? undefined : findToken(tokens, given);
      if (person === undefined) {
        throw new Problem('unauthorized', 'Send Authorization: Bearer <operator token>.', {
          headers: { 'www-authenticate': 'Bearer' },
        });
      }
      if (role === 'operator' && person.role !== 'operator') {
        throw new Problem('forbidden', `This needs the role operator; ${person.name} is a ${person.role}.`);
      }
      res.locals.operator = person.name;
      next();
    },
  };
}

/** Whether only this machine can reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

/** Who was let through, for the record of what was changed. */
export function operatorOf(res: Response): string {
  return String(res.locals.operator);
}

/** Compares with every token in constant time: how long it takes tells nothing about any of them. */
function findToken(tokens: readonly OperatorToken[], given: string): OperatorToken | undefined {
  const hash = createHash('sha256').update(given).digest();
  return tokens.filter(({ tokenHash }) => timingSafeEqual(tokenHash, hash))[0];
}
