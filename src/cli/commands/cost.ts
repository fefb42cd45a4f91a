/**
 * `shadowllm cost`: the cost of models that are too large to run here, counted from their sizes.
 */
import { Option, type Command } from 'commander'
import { architectureByName, architectures, type Architecture } from '../../cost/architectures.ts'
import { clusterExperiment, defaultCluster, type ClusterOptions } from '../../cost/cluster.ts'
import { costExperiment, predictorCostExperiment, defaultCostSettings } from '../../cost/experiments.ts'
import type { ExperimentResult } from '../../results/experiment_result.ts'
import { renderHtml } from '../../experiments/report/html.ts'
import { formatExperiment } from '../../results/terminal.ts'
import { storages, type Storage } from '../../engine/storages/index.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags } from '../flags.ts'
import { checkOutput, writeOutput } from '../output.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { listFlag, numberFlag, sparsityFlag, wholeFlag } from '../values.ts'

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

interface CostFlags {
  readonly model?: readonly Architecture[]
  readonly sparsity?: number
  readonly prompt?: number
  readonly tokens?: number
  readonly storage?: Storage
  readonly hidden?: number
  readonly bandwidth?: number
  readonly predictors?: boolean
  readonly cluster?: boolean
  readonly machines?: number
  readonly windows?: number
  readonly gflops?: number
  readonly deaths?: number
  readonly seed: number
  readonly json?: boolean
  readonly html?: string
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  const usual = defaultCostSettings
  const countFlag = (name: string): ((text: string) => number) => wholeFlag(name, 1, 2 ** 20)
  const modelsFlag = listFlag((name) => architectureByName(name.toLowerCase()))
  command
    .option('-m, --model <names>', 'one or several, separated by commas (default: all)', modelsFlag)
    .option('--sparsity <share>', 'share of heads and neurons to skip', sparsityFlag, usual.sparsity)
    .option('--prompt <count>', 'tokens of the prompt', countFlag('prompt'), usual.prompt)
    .option('--tokens <count>', 'tokens generated after it', countFlag('tokens'), usual.tokens)
    .addOption(
      new Option('--storage <type>', 'how weights are stored').choices(storages).default(usual.storage),
    )
    .option('--hidden <count>', 'hidden units of each predictor', countFlag('hidden'), usual.hidden)
    .option(
      '--bandwidth <GB/s>',
      'how fast weights are read (default: measured here)',
      numberFlag('bandwidth', 1e-3, 1e6),
    )
    .option('--predictors', "count the predictors' own work by the paper's formula, in place of a token")
    .option('--cluster', 'count what calibrating takes on many machines, in place of a token')
    .option('--machines <count>', `of a cluster (default: ${defaultCluster.machines})`, countFlag('machines'))
    .option(
      '--windows <count>',
      `that a cluster calibrates on (default: ${defaultCluster.windows})`,
      countFlag('windows'),
    )
    .option(
      '--gflops <rate>',
      'GFLOP/s of one machine of a cluster (default: measured here on one thread)',
      numberFlag('gflops', 1e-3, 1e9),
    )
    .option(
      '--deaths <rate>',
      `how often in an hour a machine of a cluster dies (default: ${defaultCluster.deathsPerHour})`,
      numberFlag('deaths', 0, 60),
    )
  addFlags(command, 'seed', 'json')
    .option('--html <file>', 'also write a page with figures')
    .addHelpText('after', help)
    .action(async (flags: CostFlags) => {
      if (flags.html !== undefined) await checkOutput(flags.html)
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
