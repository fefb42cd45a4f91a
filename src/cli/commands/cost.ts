/**
 * `shadowllm cost`: the cost of models that are too large to run here, counted from their sizes.
 */
import type { Command } from 'commander'
import {
  architectureByName,
  architectures,
  type Architecture,
  architectureOption,
} from '../../cost/architectures.ts'
import { clusterExperiment, defaultCluster, type ClusterOptions } from '../../cost/cluster.ts'
import { costExperiment, predictorCostExperiment, defaultCostSettings } from '../../cost/experiments.ts'
import type { ExperimentResult } from '../../results/experiment_result.ts'
import { renderHtml } from '../../experiments/report/html.ts'
import { formatExperiment } from '../../results/terminal.ts'
import { storageOption } from '../../engine/storages/index.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { checkFigures, writeOutput } from '../output.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { shareOption } from '../../masks/budget.ts'
import { number, parsedBy, readList, whole, addOwnFlags, type FlagsOf } from '../values.ts'

const help = `
Decoding is bound by memory: tokens per second are the bandwidth divided by the bytes of a token. Without --bandwidth it
is measured here, with one token through a large matrix on one thread.

Models: ${architectures.map(({ name }) => name).join(' ')}
70b-like has the sizes of Llama-2-70B; what its units are is our definition.

Examples:
  $ shadowllm cost --model opt-13b
  $ shadowllm cost --model opt-6.7b,opt-66b --sparsity 0.8 --storage int8 --bandwidth 2000
  $ shadowllm cost --predictors
  $ shadowllm cost --cluster --machines 64 --gflops 2000
  $ shadowllm cost --html cost.html`

const usual = defaultCostSettings
const sizes = whole(1, 2 ** 20)
const modelsFlag = (text: string): Architecture[] =>
  readList('--model', text.toLowerCase(), architectureOption).map(architectureByName)

const ownFlags = [
  parsedBy('-m, --model <names>', 'one or several, separated by commas (default: all)', modelsFlag),
  ['--sparsity <share>', 'share of heads and neurons to skip', shareOption, usual.sparsity],
  ['--prompt <count>', 'tokens of the prompt', sizes, usual.prompt],
  ['--tokens <count>', 'tokens generated after it', sizes, usual.tokens],
  ['--storage <type>', 'how weights are stored', storageOption, usual.storage],
  ['--hidden <count>', 'hidden units of each predictor', sizes, usual.hidden],
  ['--bandwidth <GB/s>', 'how fast weights are read (default: measured here)', number(1e-3, 1e6)],
  ['--predictors', "count the predictors' own work by the paper's formula, in place of a token"],
  ['--cluster', 'count what calibrating takes on many machines, in place of a token'],
  ['--machines <count>', `machines of a cluster (default: ${defaultCluster.machines})`, sizes],
  ['--windows <count>', `windows that a cluster calibrates on (default: ${defaultCluster.windows})`, sizes],
  [
    '--gflops <rate>',
    'GFLOP/s of one machine of a cluster (default: measured here on one thread)',
    number(1e-3, 1e9),
  ],
  [
    '--deaths <rate>',
    `how often in an hour a machine of a cluster dies (default: ${defaultCluster.deathsPerHour})`,
    number(0, 60),
  ],
] as const

type CostFlags = FlagsOf<typeof ownFlags> & SharedFlags<'seed' | 'json'> & { readonly html?: string }

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, ownFlags)
  addFlags(command, 'seed', 'json')
    .option('--html <file>', 'also write a page with figures')
    .addHelpText('after', help)
    .action(async (flags: CostFlags) => {
      await checkFigures(flags.html)
      const result = await count(flags, session.args)
      await printResult(session, flags, result, (found, { columns }) => formatExperiment(found, columns))
      if (flags.html !== undefined)
        await writeOutput(flags.html, await renderHtml([result], result.provenance))
    })
}

async function count(flags: CostFlags, argv: readonly string[]): Promise<ExperimentResult> {
  if (flags.cluster) return clusterExperiment({ ...clusterOf(flags), argv })
  for (const name of ['machines', 'windows', 'gflops', 'deaths'] as const)
    if (flags[name] !== undefined)
      throw new UsageError('FLAGS', `--${name}: expected --cluster beside it, got none`)
  if (flags.predictors) return predictorCostExperiment({ argv })
  const { model, bandwidth, sparsity, prompt, tokens, storage, hidden } = flags
  return costExperiment({
    models: model,
    bandwidth: bandwidth === undefined ? undefined : bandwidth * 1e9,
    sparsity,
    prompt,
    tokens,
    storage,
    hidden,
    argv,
  })
}

function clusterOf({ model, machines, windows, gflops, deaths, seed }: CostFlags): ClusterOptions {
  return {
    ...defaultCluster,
    models: model,
    machines: machines ?? defaultCluster.machines,
    windows: windows ?? defaultCluster.windows,
    flops: gflops === undefined ? undefined : gflops * 1e9,
    deathsPerHour: deaths ?? defaultCluster.deathsPerHour,
    seed,
  }
}
