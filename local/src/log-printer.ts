import pretty from 'pino-pretty';

/** Prints what the services log for a person to read, each line with its service in front. */
export function createLogPrinter(): (service: string, line: string) => void {
  const format = pretty.prettyFactory({
    colorize: process.stdout.isTTY === true,
    ignore: 'pid,hostname,name',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return (service, line) => {
    const text = line.startsWith('{') ? format(line).trimEnd() : line;
    for (const part of text.split('\n')) console.log(`${service.padEnd(8)} | ${part}`);
  };
}
