import { applySettings, runApply } from './apply-bench.ts';
import type { Arguments, BenchName } from './arguments.ts';
import { backlogSettings, runBacklog } from './backlog-bench.ts';
import { backlogSection, backlogTable } from './backlog-report.ts';
import { flowSettings, runFlow } from './flow-bench.ts';
import { footprintSettings, runFootprint } from './footprint-bench.ts';
import { growthSettings, runGrowth } from './growth-bench.ts';
import { intakeSettings, runIntake } from './intake-bench.ts';
import { intakeGoals, intakeTable } from './intake-report.ts';
import { type Machine, machineLine } from './machine.ts';
import {
  applyGoals,
  applyTable,
  flowGoals,
  flowTable,
  footprintGoals,
  footprintTables,
  growthGoals,
  growthTables,
} from './record-report.ts';
import { replaySettings, runVariant, type VariantResult } from './replay-bench.ts';
import { drawReplay } from './replay-picture.ts';
import { replaySection, replayTable } from './replay-report.ts';
import type { Rig } from './rig.ts';
import { type Goal, goalsTable, markdownTable, type Table } from './tables.ts';
import { chooseVariants } from './variants.ts';

/** What a bench has found. */
export interface Done {
  /** For bench/results/<name>.json. */
  values: object;
  /** For the terminal. */
  tables: Table[];
  /** For docs/numbers.md. */
  section: string;
  /** More files for docs/, by name. */
  files?: Record<string, string>;
}

export interface BenchContext {
  rig: Rig;
  asked: Pick<Arguments, 'size' | 'only'>;
  machine: Machine;
  say: (line: string) => void;
}

export interface Bench {
  /** Whether it measures the services as they are in production, or as `npm start` runs them. */
  built: boolean;
  run(context: BenchContext): Promise<Done>;
}

export const benches: Readonly<Record<BenchName, Bench>> = {
  replay: {
    built: false,
    run: async ({ rig, asked, machine, say }) => {
      const settings = replaySettings(asked.size);
      const results: VariantResult[] = [];
      for (const variant of chooseVariants(asked.only)) {
        say(`${variant.title} ...`);
        results.push(await runVariant(rig, variant, settings));
      }
      return {
        values: { settings, results },
        tables: [replayTable(results)],
        section: replaySection(results, settings, machine),
        files: { 'replay.svg': drawReplay(results) },
      };
    },
  },
  backlog: {
    built: false,
    run: async ({ rig, asked, machine, say }) => {
      const settings = backlogSettings(asked.size);
      const results = await runBacklog(rig, settings, say);
      return {
        values: { settings, results },
        tables: [backlogTable(results)],
        section: backlogSection(results, settings, machine),
      };
    },
  },
  intake: {
    built: true,
    run: async (context) => {
      const settings = intakeSettings(context.asked.size);
      const results = await runIntake(context.rig, settings, { say: context.say, only: context.asked.only });
      return found('intake', context, {
        settings,
        results,
        tables: [intakeTable(results)],
        goals: intakeGoals(results),
      });
    },
  },
  apply: {
    built: true,
    run: async (context) => {
      const settings = applySettings(context.asked.size);
      const results = await runApply(context.rig, settings, context.say);
      return found('apply', context, {
        settings,
        results,
        tables: [applyTable(results)],
        goals: applyGoals(results),
      });
    },
  },
  flow: {
    built: true,
    run: async (context) => {
      const settings = flowSettings(context.asked.size);
      const results = await runFlow(context.rig, settings, context.say);
      return found('flow', context, {
        settings,
        results,
        tables: [flowTable(results)],
        goals: flowGoals(results),
      });
    },
  },
  growth: {
    built: true,
    run: async (context) => {
      const settings = growthSettings(context.asked.size);
      const results = await runGrowth(context.rig, settings, context.say);
      return found('growth', context, {
        settings,
        results,
        tables: growthTables(results),
        goals: growthGoals(results),
      });
    },
  },
  footprint: {
    built: true,
    run: async (context) => {
      const settings = footprintSettings(context.asked.size);
      const results = await runFootprint(context.rig, settings, context.say);
      return found('footprint', context, {
        settings,
        results,
        tables: footprintTables(results),
        goals: footprintGoals(results),
      });
    },
  },
};

interface Found {
  settings: object;
  results: object;
  tables: Table[];
  goals: Goal[];
}

function found(
  name: BenchName,
  { asked, machine }: BenchContext,
  { settings, results, tables, goals }: Found,
): Done {
  const all = [...tables, goalsTable(goals)];
  const size = typeof asked.size === 'number' ? ` --size ${asked.size}` : '';
  const section = `${all.map(markdownTable).join('\n\n')}

Measured with \`npm run bench -- ${name}${size} --write-docs\`, the services built. ${machineLine(machine)}`;
  return { values: { settings, results, goals }, tables: all, section };
}
