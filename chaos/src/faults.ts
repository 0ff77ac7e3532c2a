import { dataFaults } from './data-faults.ts';
import type { Fault } from './fault.ts';
import { linkFaults } from './link-faults.ts';
import { processFaults } from './process-faults.ts';

/** Every fault that can be asked for. */
export const faults: readonly Fault[] = [...processFaults, ...linkFaults, ...dataFaults];
