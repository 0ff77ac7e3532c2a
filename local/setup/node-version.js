/** mongoose and the memory server ask for it. */
const NODE_MIN = [20, 19];

/** One line for who has an older Node, or undefined. @param {string} version */
export function nodeProblem(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [majorMin = 0, minorMin = 0] = NODE_MIN;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return undefined;
  return `Paystream needs Node ${NODE_MIN.join('.')} or newer; this is ${version}. Install it from https://nodejs.org.`;
}
