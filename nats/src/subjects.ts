/** Whether everything that `subject` stands for, wildcards included, is taken by `pattern`. */
export function covers(pattern: string, subject: string): boolean {
  const wide = pattern.split('.');
  const narrow = subject.split('.');
  const rest = wide.indexOf('>');
  const sameLength = rest === -1 ? wide.length === narrow.length : narrow.length > rest;
  const tokens = rest === -1 ? wide : wide.slice(0, rest);
  return (
    sameLength &&
    tokens.every((token, index) => token === narrow[index] || (token === '*' && narrow[index] !== '>'))
  );
}
