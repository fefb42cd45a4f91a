/**
 * Dense decoding beside onnxruntime: the same decoder with the same weights, checked before it is timed.
 *
 *   npm run bench:peers -- [--shape opt-125m|opt-350m|opt-1.3b] [--layers N] [--rounds N] [--json]
 *
 * Peers on one thread take turns with the arms of this project on one thread; then peers on more threads take turns with
 * those on as many or fewer. Exit codes: 1 an arm disagrees, 2 usage, 4 the peers are not installed.
 */
import { Command, Option } from 'commander'
import { describeFailure } from '../../src/cli/failure.ts'
import { wholeFlag } from '../../src/cli/values.ts'
import type { ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import {
  commandArguments,
  exit,
  isTerminal,
  joinPath,
  machine,
  makeFolder,
  onInterrupt,
  remove,
  runtime,
  endWhenIdle,
  temporaryFolder,
  temporaryName,
  write,
} from '../../src/platform/platform.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { decoderGraph, type DecoderGraph } from './decoder_graph.ts'
import { CAPACITY, Roster, timeArms, type LoadedArm } from './measure.ts'
import { loadPackage, type Package } from './onnxruntime.ts'
import { ourArms } from './our_arms.ts'
import { peerArms } from './peer_arms.ts'
import { ratiosOf, rowsOf, tablesOf, type Group } from './report.ts'
import { shapeByName, shapes } from './shapes.ts'
import { writeDecoder } from './weights_file.ts'

const SEED = 1
/** Biases and norms of an untrained model are 0 and 1, which would hide one that is left out. */
const BIAS_DEVIATION = 0.1

interface Flags {
  readonly shape: string
  readonly layers?: number
  readonly rounds?: number
  readonly json?: true
}

function readFlags(args: readonly string[]): Flags {
  const MAX_COUNT = 1000
  return new Command('bench:peers')
    .description('dense decoding beside onnxruntime-web and onnxruntime-node')
    .addOption(
      new Option('--shape <name>', 'sizes of the model').choices(Object.keys(shapes)).default('opt-125m'),
    )
    .option('--layers <n>', 'fewer layers than the shape has', wholeFlag('layers', 1, MAX_COUNT))
    .option('--rounds <n>', 'rounds of turns', wholeFlag('rounds', 1, MAX_COUNT))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nMemory: every arm holds the weights, and a file of them lies in the folder for temporary files meanwhile.',
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .parse(args, { from: 'user' })
    .opts<Flags>()
}

/** Says what is being done, where a person is looking. */
async function tell(text: string): Promise<void> {
  if (isTerminal('stderr')) await write('stderr', `${text}\n`)
}

async function versionsOf(packages: readonly Package[]): Promise<Record<string, string>> {
  const versions: Record<string, string> = {}
  for (const name of packages) {
    const { env } = await loadPackage(name)
    versions[name] = env.versions[name === 'onnxruntime-web' ? 'web' : 'node'] ?? 'unknown'
  }
  return versions
}

/** What is compared, and in what. */
interface Setting {
  readonly shape: string
  readonly config: ModelConfig
  readonly graph: DecoderGraph
  readonly rounds: number
  /** Where the decoder is written for the peers. */
  readonly folder: string
}

function readSetting({ shape, layers, rounds = shapes[shape].rounds }: Flags, folder: string): Setting {
  const config = shapeByName(shape, layers)
  return { shape, config, graph: decoderGraph(config), rounds, folder }
}

/** Loads our arms and writes the weights for the peers. They are held here alone, and gone when the peers are loaded. */
async function loadOurs(roster: Roster, { config, graph, folder }: Setting): Promise<LoadedArm[]> {
  await tell('drawing weights')
  const source = memorySource(initialWeights(config, { seed: SEED, biasDeviation: BIAS_DEVIATION }))
  await tell('loading them')
  const ours = await roster.load(ourArms, { config, source, capacity: CAPACITY })
  await tell('writing them for the peers')
  await writeDecoder(folder, graph, source)
  return ours
}

/** Loads, checks and times the peers on some threads, and our arms on as many or fewer. */
async function timeGroup(
  roster: Roster,
  ours: readonly LoadedArm[],
  threads: number,
  { config, folder, rounds }: Setting,
): Promise<Group> {
  await tell(`loading and checking the peers on ${threads} threads`)
  const peers = await roster.load(
    peerArms.filter((arm) => arm.threads === threads),
    { config, folder },
  )
  const rivals = ours.filter((arm) => arm.threads <= threads)
  await tell('timing')
  const timed = await timeArms([...rivals, ...peers], config.vocabulary, rounds)
  for (const { decoder } of peers) await decoder.dispose()
  return { ours: rivals, peers, timed }
}

async function compare(flags: Flags, folder: string): Promise<void> {
  const setting = readSetting(flags, folder)
  const { shape, config, graph, rounds } = setting
  const versions = await versionsOf(['onnxruntime-web', 'onnxruntime-node'])
  const { processor, threads } = machine()
  const host = `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}`
  const gibibytes = (graph.bytes / 2 ** 30).toFixed(1)
  const print = (text: string): Promise<void> => (flags.json ? Promise.resolve() : write('stdout', text))
  await print(
    `${host}\n${Object.entries(versions)
      .map((entry) => entry.join(' '))
      .join(', ')}\n` +
      `${shape} shape, ${config.layers} layers, dense, f32, random weights of seed ${SEED}; each arm holds ${gibibytes} GiB\n` +
      `pp128: a prompt of 128 tokens; tg32: 32 tokens after a prompt of 8; ${rounds} rounds\n`,
  )
  const roster = new Roster(config.vocabulary)
  const ours = await loadOurs(roster, setting)
  const groups: Group[] = []
  for (const threads of new Set(peerArms.map((arm) => arm.threads))) {
    const group = await timeGroup(roster, ours, threads, setting)
    groups.push(group)
    await print(`\n${tablesOf(group)}`)
  }
  for (const { decoder } of ours) await decoder.dispose()
  const { leftOut } = roster
  await print(leftOut.map(({ name, reason }) => `\nleft out: ${name}: ${reason}\n`).join(''))
  if (!flags.json) return
  const about = { host, versions, shape, layers: config.layers, storage: 'f32', seed: SEED, rounds }
  const measured = { rows: groups.flatMap(rowsOf), ratios: groups.flatMap(ratiosOf), leftOut }
  await write('stdout', `${JSON.stringify({ ...about, ...measured })}\n`)
}

async function main(args: readonly string[]): Promise<number> {
  const folder = temporaryName(joinPath(temporaryFolder(), 'shadowllm-peers'))
  const release = onInterrupt(() => void remove(folder).finally(() => exit(130)))
  try {
    const flags = readFlags(args)
    await makeFolder(folder)
    await compare(flags, folder)
    return 0
  } catch (error) {
    const { line, exitCode } = describeFailure(error, false)
    if (line !== '') await write('stderr', `${line}\n`)
    return exitCode
  } finally {
    release()
    await remove(folder)
  }
}

endWhenIdle(await main(commandArguments()))
