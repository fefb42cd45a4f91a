/**
 * `shadowllm bench`: the speed of prompts and of generation, dense and with units skipped, beside the memory bandwidth of this
 * machine.
 */
import type { Command } from 'commander'
import { benchPlanners } from '../../bench/methods.ts'
import { Bench, type BenchOptions, type MethodProfile } from '../../bench/bench.ts'
import type { BenchRow } from '../../bench/rows.ts'
import type { Provenance } from '../../results/provenance.ts'
import { benchShapes, checkpointSubject, shapeSubject, type BenchSubject } from '../../bench/subject.ts'
import { depths as lengths, type Depths } from '../../bench/depths.ts'
import { allLegendRows, formatBench, formatDepths, formatProfile, formatVerdicts } from '../../bench/table.ts'
import { parseTest } from '../../bench/tests.ts'
import { kindOf } from '../../io/files.ts'
import { readMask } from '../../masks/mask_file.ts'
import { fileStorageWords, storages, storageOption } from '../../engine/storages/index.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { predictorBeside, predictorFile } from '../../io/named_predictor.ts'
import { joinPath } from '../../platform/platform.ts'
import { needs } from '../../planners/index.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, flagDefaults, listNames, type SharedFlags } from '../flags.ts'
import { findWithProgress } from '../open_model.ts'
import { openPlannerFiles } from '../planner_flags.ts'
import { jsonText } from '../../results/json_text.ts'
import type { Session } from '../session.ts'
import { listOf, parsedBy, sharesOf, whole, addOwnFlags, type FlagsOf } from '../values.ts'
import { backendOption, threadsOption } from '../../backends/backend.ts'
import { nameOption } from '../../tensor/option.ts'

/** The planners whose scores have no influence on the time. */
const rankedBy = benchPlanners.filter((name) => needs(name, 'calibration')).join(', ')

const help = `
-m FILE.gguf measures that model; without arguments the embedded model is measured. --shape measures random weights in the sizes of known models. Predictors
of shapes have random weights too: ShadowLLM's runs once for each prompt, DejaVu's (rank 1000 for neurons, 512 for heads) in every layer
for every token, DejaVu-style's once for each prompt after a dense pass over it. --layers measures the first layers of a large shape in
little time and memory.

A second table shows the dense model's speed by the length of its text: a prompt of each length is read once, then eight tokens are decoded.
Lengths whose prompts would take longer than the time that is left (--depths) are named below it.

The last lines say for each test which rows are faster than the dense model, and by how much: the median and the interval of the ratios
within a round. From 6 rounds on (--rounds) the interval misses the true median once in 20 times at most; of fewer rounds it is the smallest and the largest ratio.

All rows of one model are measured in interleaved rounds, in changing order; figures are medians over rounds, ratios are
taken inside rounds. Tests have the names of llama-bench. Tests and columns:
${allLegendRows.join('\n')}

Planners that rank by a calibration (${rankedBy}) are timed with random scores, which take as long. For the speed under the mask
of a calibration, write it by "shadowllm masks -o FILE", and give it by --mask FILE.

ideal and reading assume that the fc2 rows of zero neurons are read. After ReLU many are not, so reading is an upper bound there.
${listNames(({ skips }) => skips === 'channels')} skip no unit. Weights counts the rows of out and fc2 that meet their masked channels, and so do ideal and
reading; the columns of q, k, v, fc1 and up that meet masked channels are read.

Examples:
  $ shadowllm bench
  $ shadowllm bench -m FILE.gguf
  $ shadowllm bench --shape opt-125m,opt-350m --planner shadow,dejavu --sparsity 0.5,0.9
  $ shadowllm bench --shape opt-1.3b --layers 4 --test tg32@100,tg32@2000 --planner dense
  $ shadowllm bench --quick --profile
  $ shadowllm bench -m FILE.gguf --depths 120
  $ shadowllm bench --quick --backend webgpu,wasm
  $ shadowllm bench --planner shadow --sparsity 0.5 --check 4
  $ shadowllm bench -m DIR --mask mask.safetensors --test tg64 --json > bench.json`

/** The defaults. */
const usual = {
  planners: ['random'],
  sparsities: [0.5, 0.75, 0.9],
  tests: ['pp128', 'tg128'],
  rounds: 5,
  depths: 30,
} as const

/** The defaults of `--quick`: less than a minute. */
const quick = { ...usual, sparsities: [0.5, 0.9], tests: ['pp64', 'tg32'], rounds: 3, depths: 5 } as const

/** The default planners of shapes, which have predictors; another model may have none. */
const ofShapes = ['shadow', 'dejavu'] as const

const sizes = 2 ** 20

const modelFlags = [
  listOf(
    '--shape <names>',
    `instead of a model, sizes of known ones with random weights, separated by commas: ${benchShapes.join(', ')} (default: none)`,
    nameOption('SHAPE', benchShapes),
  ),
  ['--layers <count>', 'only the first layers of each --shape (default: all)', whole(1, sizes)],
  listOf(
    '--storage <list>',
    `what weights are stored as, separated by commas: ${storages.join(', ')} (default: ${fileStorageWords})`,
    storageOption,
  ),
  listOf(
    '--planner <list>',
    `planners to compare, separated by commas; "shadowllm planners" lists all, of which bench takes those without a loss of the text; dense is always measured (default: ${usual.planners.join(',')}, and with --shape ${ofShapes.join(',')})`,
    nameOption('PLANNER', benchPlanners),
  ),
  sharesOf(
    '--sparsity <list>',
    `shares to skip, separated by commas (default: ${usual.sparsities.join(',')})`,
  ),
  ['--mask <file>', 'also measure under this mask, as "shadowllm masks --output" writes it'],
] as const

const testFlags = [
  parsedBy(
    '--test <list>',
    `what is timed, separated by commas (default: ${usual.tests.join(',')})`,
    // Duplicates are found by name: each parsed test is an object of its own.
    (text) => [...new Set(text.split(',').map((name) => name.trim()))].map(parseTest),
  ),
  ['--rounds <count>', `rounds of each row (default: ${usual.rounds})`, whole(1, sizes)],
  listOf(
    '--threads <list>',
    'threads that may compute, or auto, separated by commas; more than one where measured to be faster',
    threadsOption,
    [1],
  ),
  listOf('--backend <list>', 'backends that compute, separated by commas', backendOption, [
    flagDefaults.backend,
  ]),
] as const

const lengthFlags = [
  ['--no-graphs', 'launch every CUDA kernel by itself instead of as part of a graph'],
  ['--quick', 'fewer rounds of shorter tests: less than a minute'],
  ['--profile', 'also measure the time of each part of a token'],
  [
    '--depths <seconds>',
    `time for the speed at texts of ${lengths.slice(0, -1).join(', ')} and ${lengths.at(-1)} tokens, which ends before a prompt that would take longer; 0 for none (default: ${usual.depths}, with --quick ${quick.depths}, and beside --test 0)`,
    whole(0, 86_400),
  ],
] as const

type BenchFlags = FlagsOf<typeof modelFlags> &
  FlagsOf<typeof testFlags> &
  FlagsOf<typeof lengthFlags> &
  SharedFlags<'hub' | 'predictor' | 'every' | 'check' | 'mode' | 'cache' | 'seed' | 'json'> & {
    readonly model?: string
  }

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  command.option(
    '-m, --model <name>',
    'FILE.gguf, a folder in Hugging Face form, a name on the hub, or embedded (default: embedded, without --shape)',
  )
  addFlags(command, 'hub')
  addOwnFlags(command, modelFlags)
  addFlags(command, 'predictor', 'every', 'check')
  addOwnFlags(command, testFlags)
  addFlags(command, 'wide', 'mode', 'cache', 'seed')
  addOwnFlags(command, lengthFlags)
  addFlags(command, 'json', 'quiet')
    .addHelpText('after', help)
    .action((flags: BenchFlags) => runBench(session, flags))
}

async function runBench(session: Session, flags: BenchFlags): Promise<void> {
  const bench = new Bench(
    await optionsOf(session, flags),
    (progress) => session.progress.update(progress),
    session.signal,
  )
  try {
    await bench.run()
  } finally {
    // What was measured is shown, whatever ended the run.
    if (bench.rows.length > 0) await show(session, bench, flags)
  }
}

/** What `--json` prints. */
export interface BenchOutput {
  readonly rows: readonly BenchRow[]
  /** Of the dense model by the length of its text, unless --depths is 0. */
  readonly depths?: Depths
  /** With --profile. */
  readonly profiles?: readonly MethodProfile[]
  /** How fast one thread read memory forward, in each round. */
  readonly readBytesPerSecond: readonly number[]
  readonly provenance: Provenance
}

async function show(session: Session, bench: Bench, { json, profile }: BenchFlags): Promise<void> {
  const { rows, profiles, reads, device, depths } = bench
  const hasDepths = depths.rows.length > 0
  if (json) {
    const provenance = await bench.provenance(session.args)
    const all: BenchOutput = {
      rows,
      ...(hasDepths && { depths }),
      ...(profile && { profiles }),
      readBytesPerSecond: reads,
      provenance,
    }
    await session.print(jsonText(all))
    return
  }
  const { columns } = session.screen
  const tables = [
    ...(hasDepths ? [formatDepths(depths, columns)] : []),
    ...profiles.map((one) => formatProfile(one, columns)),
    formatVerdicts(rows, columns),
  ].filter((one) => one !== '')
  await session.print([formatBench(rows, reads, device, columns), ...tables].join('\n'))
}

async function optionsOf(session: Session, flags: BenchFlags): Promise<BenchOptions> {
  const { shape, mask, storage, backend: backends, threads, mode, cache, every, check, seed, graphs } = flags
  const { model = shape === undefined ? 'embedded' : undefined } = flags
  if (!graphs && !backends.some((name) => name.startsWith('cuda')))
    throw new UsageError('FLAGS', `--no-graphs: expected a CUDA backend, got ${backends.join(', ')}`)
  const otherwise = flags.quick ? quick : usual
  const options = {
    planners: flags.planner ?? (model === undefined ? ofShapes : otherwise.planners),
    sparsities: flags.sparsity ?? otherwise.sparsities,
    tests: flags.test ?? otherwise.tests.map(parseTest),
    rounds: flags.rounds ?? otherwise.rounds,
    backends,
    threads,
    mode,
    cache,
    every,
    check,
    seed,
    graphs,
    profile: flags.profile ?? false,
    depthSeconds: flags.depths ?? (flags.test === undefined ? otherwise.depths : 0),
    ...(mask !== undefined && { readMask: (shape: LanguageModel['shape']) => readMask(mask, shape) }),
  }
  if (flags.revision !== undefined && flags.model === undefined)
    throw new UsageError('FLAGS', '--revision: expected --model beside it, got none')
  if (flags.layers !== undefined && shape === undefined)
    throw new UsageError('FLAGS', '--layers: expected --shape beside it, got none')
  if (model === undefined) return { ...options, storages: storage ?? ['f32'], subjects: shapesOf(flags) }
  if (shape !== undefined) throw new UsageError('FLAGS', '--shape: expected no --model beside it, got one')
  const { path, origin } = await findWithProgress(session, model, flags)
  const beside = (await kindOf(path)) === 'file' ? predictorBeside(path) : joinPath(path, predictorFile)
  const subject = await checkpointSubject(model, path, origin)
  return {
    ...options,
    subjects: [subject],
    storages: storage ?? [subject.fileStorage],
    readPredictors: async (loaded, kinds) => {
      const { files } = await openPlannerFiles(loaded, beside, { predictor: flags.predictor })
      try {
        return (await files.sources(kinds, { criterion: 'none' })).predictors
      } catch (error) {
        files.dispose()
        throw error
      }
    },
  }
}

function shapesOf({ shape = [], layers, seed, predictor }: BenchFlags): BenchSubject[] {
  if (predictor.length > 0)
    throw new UsageError(
      'FLAGS',
      '--predictor: expected no --shape beside it, got one; random weights have none',
    )
  return shape.map((name) => shapeSubject(name, { seed, layers }))
}
