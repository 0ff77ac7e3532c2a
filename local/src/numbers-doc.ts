import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Replaces what stands between the marks of this section; a file or section that is not there yet is begun. */
export function writeSection(file: string, name: string, text: string): void {
  const [begin, end] = [`<!-- bench ${name} -->`, `<!-- end of bench ${name} -->`];
  const old = existsSync(file) ? readFileSync(file, 'utf8') : '# Numbers\n';
  const section = `${begin}\n${text}\n${end}`;
  const from = old.indexOf(begin);
  const to = old.indexOf(end);
  const next =
    from === -1 || to === -1
      ? `${old.trimEnd()}\n\n${section}\n`
      : `${old.slice(0, from)}${section}${old.slice(to + end.length)}`;
  writeFileSync(file, next);
}
