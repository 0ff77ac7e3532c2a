// A process of its own, so that a download that does not begin can be ended and its settings stay out of ours.
const [folder = ''] = process.argv.slice(2);
try {
  const { MongoBinary } = await import('mongodb-memory-server-core');
  console.log(`mongod at ${await MongoBinary.getPath({ downloadDir: folder, checkMD5: true })}`);
} catch (error) {
  // Only the last line is shown, so the reason must fit into it.
  console.error(String(error instanceof Error ? error.message : error).replace(/\s+/g, ' '));
  process.exitCode = 1;
}
