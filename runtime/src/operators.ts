import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
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

const entryPattern = /^([a-z0-9][a-z0-9_.-]{0,62}):(viewer|operator):([0-9a-fA-F]{64})$/;
const entryRule =
  '<name>:<viewer|operator>:<sha256 of the token, 64 hex digits>, the name of a-z, 0-9, _ . and - only';

/** `name:role:sha256 of the token`, one a line (or separated by commas); empty lines and `#` lines are passed over. */
export const operatorTokensSetting = z.string().default('').transform(readTokens);

/** The same in a file: the setting is its path. */
export const operatorTokensFileSetting = z
  .string()
  .transform((path, context) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      context.addIssue(`cannot be read: ${describeError(error)}`);
      return z.NEVER;
    }
  })
  .transform(readTokens)
  .optional();

/** Who is known. A file is read in the place of the variable, so that the hashes need not stand in the environment. */
export const operatorsOf = (config: {
  OPERATOR_TOKENS: OperatorToken[];
  OPERATOR_TOKENS_FILE?: OperatorToken[] | undefined;
}): OperatorToken[] => config.OPERATOR_TOKENS_FILE ?? config.OPERATOR_TOKENS;

function readTokens(text: string, context: z.RefinementCtx): OperatorToken[] {
  const entries = text
    .split('\n')
    .filter((line) => !line.trim().startsWith('#'))
    .flatMap((line) => line.split(','))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  return entries.flatMap((entry, index) => {
    const [, name = '', role, hash = ''] = entryPattern.exec(entry) ?? [];
    if (role !== 'viewer' && role !== 'operator') {
      // The entry itself may hold a token by mistake: it is not repeated.
      context.addIssue(`entry ${index + 1} must be ${entryRule}`);
      return [];
    }
    return [{ name, role, tokenHash: Buffer.from(hash, 'hex') }];
  });
}

/** The entry for OPERATOR_TOKENS that knows a person by the hash of this token. */
export function operatorEntry({
  name,
  role,
  token,
}: {
  name: string;
  role: OperatorRole;
  token: string;
}): string {
  return `${name}:${role}:${hashOf(token).toString('hex')}`;
}

const hashOf = (token: string) => createHash('sha256').update(token).digest();

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
      if (tokens.length === 0) throw new Problem('forbidden', withoutTokens[role]);
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

const withoutTokens: Readonly<Record<OperatorRole, string>> = {
  viewer: 'Other machines can ask here and no token is configured (OPERATOR_TOKENS), so nobody may look.',
  operator: 'No operator token is configured here (OPERATOR_TOKENS), so nobody may change anything.',
};

/** Whether only this machine can reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** Who was let through, for the record of what was changed. */
export function operatorOf(res: Response): string {
  return String(res.locals.operator);
}

/** Compares with every token in constant time: how long it takes tells nothing about any of them. */
function findToken(tokens: readonly OperatorToken[], given: string): OperatorToken | undefined {
  const hash = hashOf(given);
  return tokens.filter(({ tokenHash }) => timingSafeEqual(tokenHash, hash))[0];
}
