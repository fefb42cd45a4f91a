/**
 * Runs the examples of a help as a reader would: all of them, in their order, in a folder of their own, each as it is printed.
 *
 * Files. What an example reads is there: small, and of the kind that its flag, its command or its ending promises, made when an example
 * names it and no example before wrote it. Models of the hub are in a cache. Queues and buckets are at addresses where nobody answers:
 * such an example must end with the refusal of the connection, which comes after everything else that is read.
 *
 * Time. Amounts are given once more behind the words of an example, small, where its command has the flag; the printed value is read
 * before. What still computes a moment after its first sign of work, which is progress past loading or output, is stopped by ctrl-C and must
 * then end as interrupted; not if a later example reads what it writes. Nothing else is taken for an end but 0, and a backend that this machine lacks.
 *
 * Forms. `one | shadowllm` reads what `one` prints, `> FILE` is written, `# words` are a remark, `<command>` is the first command.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { createBackend } from '../../src/backends/select.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { commandNames } from '../../src/cli/program.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { openFile } from '../../src/io/files.ts'
import { embeddedName } from '../../src/io/find_model.ts'
import { readGgufHeader } from '../../src/io/gguf.ts'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { predictorKinds } from '../../src/predictor/predictor_config.ts'
import { savePredictor } from '../../src/predictor/predictor_file.ts'
import { Random } from '../../src/tensor/random.ts'
import { fixtures } from '../golden/golden.ts'
import { encodeGguf, type EntryValue, type FileTensor } from '../io/gguf_file.ts'
import { chatMl, writeChatModel } from '../library/chat_model.ts'
import { nobody } from './queue_doors.ts'
import type { CliResult } from './run_cli.ts'
import { runInside } from './run_inside.ts'

/** The examples of a help as one line each. */
export function examplesOfHelp(help: string): string[] {
  const lines = help.replaceAll(/ \\\n\s+/g, ' ').split('\n')
  return lines.filter((line) => line.startsWith('  $ ')).map((line) => line.slice(4))
}

/** Milliseconds that an example computes before ctrl-C. */
const moment = 100

/** Flags of amounts, a small one of each, and the flag that some are refused beside. */
const amounts: readonly (readonly [flag: string, value: string, unless?: RegExp])[] = [
  ['--limit <count>', '4'],
  ['--steps <count>', '2'],
  ['--batch <count>', '1'],
  ['--length <count>', '16'],
  ['--prompt <count>', '12', /--tasks piqa/],
  ['--continuation <count>', '8', /--tasks piqa/],
  ['--runs <factor>', '0.01'],
  ['--examples <count>', '4'],
  ['--rounds <count>', '1'],
  ['--layers <count>', '1', /^(?!.* --shape )/],
  ['--test <list>', 'pp4,tg4'],
  ['--max-tokens <count>', '4'],
  ['--depths <seconds>', '0'],
  ['--texts <count>', '1'],
  ['--law <words>', 'softmax'],
  ['--backend <list>', 'reference', /bench/],
]

/** Words of commands as the shell reads them, which is asked once for all: a process that holds much is slow to start another. */
function wordsOf(lines: readonly string[]): string[][] {
  const script = lines.map((line) => `printf '%s\\0' ${line}\nprintf '\\1'`).join('\n')
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' })
    .split('\u{1}')
    .slice(0, -1)
    .map((words) => words.split('\0').slice(0, -1))
}

/** An example as the shell reads it. */
interface Example {
  readonly line: string
  /** The command before the pipe; undefined without one. */
  readonly before?: string
  /** The file that the output goes to; undefined without one. */
  readonly output?: string
  /** What calls shadowllm. */
  readonly words: readonly string[]
  /** The words up to a pipe, an output or a remark. */
  readonly first: readonly string[]
}

/** @throws Error for an example that does not call shadowllm */
function readExamples(lines: readonly string[]): Example[] {
  const parts = lines.map((line) => {
    const [, before, called, output] = /^(?:(.*) \| )?(shadowllm .*?)(?: > (\S+))?(?: #.*)?$/.exec(line) ?? []
    if (called === undefined) throw new Error(`expected an example that calls shadowllm, got ${line}`)
    return { line, before, called: called.replace('<command>', commandNames[0]), output }
  })
  const words = wordsOf(parts.flatMap(({ line, called }) => [called, line.replaceAll(/[<>|#].*/g, '')]))
  return parts.map(({ line, before, output }, i) => {
    const [own, first] = words.slice(2 * i)
    return { line, before, output, words: own, first }
  })
}

/** Makes an input of an example. @param path it is not there @param line the example */
type Make = (path: string, line: string) => void | Promise<void>

const text = 'The captain looked at the sea, and the men looked at him and said nothing at all. '

/** A command that must succeed makes an input. */
async function made(...args: string[]): Promise<void> {
  const { code, stderr } = await runInside(args)
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
}

const layers = 3

/** A model whose matrices are of whole blocks, with a vocabulary of 700 tokens and a chat template. */
const gguf: Make = async (path) => {
  const tokenizer = fileURLToPath(new URL('../../fixtures/tokenizers/smollm.gguf', import.meta.url))
  const file = await openFile(tokenizer)
  const { entries } = await readGgufHeader(file, tokenizer)
  await file.close()
  const [width, neurons, vocabulary, random] = [64, 96, 700, new Random(4)]
  const said = new Map(entries as ReadonlyMap<string, EntryValue>)
  const sizes = { block_count: layers, embedding_length: width, feed_forward_length: neurons }
  for (const [key, value] of Object.entries({ ...sizes, context_length: 400, 'attention.head_count': 4 }))
    said.set(`llama.${key}`, value)
  said.set('llama.attention.layer_norm_rms_epsilon', { float: 1e-5 })
  said.set('tokenizer.chat_template', chatMl)
  const tensor = (name: string, ...shape: number[]): FileTensor => {
    const length = shape.reduce((a, b) => a * b, 1)
    return {
      name,
      shape,
      data: Float32Array.from({ length }, () => (shape.length > 1 ? 0.3 * random.normal() : 1)),
    }
  }
  const matrices = {
    attn_q: [width, width],
    attn_k: [width, width],
    attn_v: [width, width],
    attn_output: [width, width],
  }
  const ffn = { ffn_gate: [neurons, width], ffn_up: [neurons, width], ffn_down: [width, neurons] }
  const block = { attn_norm: [width], ...matrices, ffn_norm: [width], ...ffn }
  const tensors = [
    tensor('token_embd.weight', vocabulary, width),
    tensor('output_norm.weight', width),
    ...Array.from({ length: layers }, (_, layer) =>
      Object.entries(block).map(([name, shape]) => tensor(`blk.${layer}.${name}.weight`, ...shape)),
    ).flat(),
  ]
  const [, format] = /\.(Q\d_\d)\.gguf$/.exec(path) ?? []
  const whole = format === undefined ? path : `${path}.F32.gguf`
  writeFileSync(whole, encodeGguf([...said], tensors))
  if (format !== undefined) await made('convert', whole, path, '--type', format)
}

const folder: Make = (path) => writeChatModel(path)

const rows: Make = (path) => {
  mkdirSync(path)
  const copa = {
    premise: 'It rained.',
    choice1: 'It was wet.',
    choice2: 'It was dry.',
    question: 'effect',
    label: 0,
  }
  const rte = { sentence1: 'It rained.', sentence2: 'It was wet.', label: 0 }
  const piqa = { goal: 'To be dry', sol1: 'stay in.', sol2: 'go out.', label: 0 }
  for (const [name, row] of Object.entries({ copa, rte, piqa }))
    for (const part of ['', '.train'])
      writeFileSync(join(path, `${name}${part}.jsonl`), `${JSON.stringify({ ...row, id: part })}\n`.repeat(8))
}

const parquet: Make = (path) => {
  const each = <T>(value: T): T[] => [value, value, value]
  writeFileSync(
    path,
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'activity_label', data: each('Rain'), type: 'STRING' },
          { name: 'ctx', data: each('It rained. She'), type: 'STRING' },
          { name: 'endings', data: each(['was wet.', 'flew.', 'sang.', 'ate.']), type: 'JSON' },
          { name: 'label', data: each('0'), type: 'STRING' },
        ],
      }),
    ),
  )
}

const predictor: Make = async (path, line) => {
  const backend = await createBackend('reference')
  const kind = predictorKinds.find((name) => line.includes(`--planner ${name}`)) ?? 'shadow'
  const one = randomPredictor(
    kind,
    parseConfig(JSON.parse(readFileSync('DIR/config.json', 'utf8'))),
    backend,
    'f32',
    5,
  )
  await savePredictor(path, one)
  one.dispose()
  backend.dispose()
}

/** What is made by a command of a model, which is made first. */
const ofModel =
  (...args: string[]): Make =>
  async (path) => {
    if (!existsSync('DIR')) await folder('DIR', '')
    writeFileSync('made.txt', text.repeat(40))
    await made(...args, '-m', 'DIR', '--output', path)
  }

const calibration = ofModel(
  'calibrate',
  '--text',
  'made.txt',
  '--limit',
  '4',
  '--prompt',
  '12',
  '--continuation',
  '8',
)
const cases: Make = (path) =>
  writeSafetensors(
    path,
    new Map([['input_ids', { dtype: 'I32', shape: [1, 4], data: Int32Array.of(2, 5, 6, 7) }]]),
  )

/** What is not read, or is no file. */
const none: Make = () => {}

/** Inputs by the flag that they stand behind. */
const byFlag: Readonly<Record<string, Make>> = {
  '-o': none,
  '--output': none,
  '--html': none,
  '--session': none,
  '--certificate': none,
  '--save-predictor': none,
  '-m': folder,
  '--model': folder,
  '--tokenizer': folder,
  '--calibration': calibration,
  '--data': rows,
  '--predictor': predictor,
  '--cases': cases,
  '--mask': ofModel('masks', text, '--planner', 'random'),
}

/** Inputs that are arguments, by their command. */
const byCommand: Readonly<Record<string, Make>> = {
  convert: folder,
  inspect: folder,
  'parity check': async (path) => {
    await cases('made.cases', '')
    await ofModel('parity', 'export', '--cases', 'made.cases')(path, '')
  },
  'parity check-ops': (path) => made('parity', 'export-ops', '--ops', 'relu', '--small', '--output', path),
  'parity verify-certificate': (path) =>
    made('parity', 'run', '--ops', 'relu', '--small', '--certificate', path),
}

/** Inputs by the endings of their names. */
const byEnding: Readonly<Record<string, Make>> = {
  '.gguf': gguf,
  '.txt': (path) => writeFileSync(path, text.repeat(40)),
  '.raw': (path) => writeFileSync(path, ` \n = One = \n \n ${text.repeat(20)}\n`),
  '.parquet': parquet,
  '.bin': (path) => cpSync(join(fixtures, 'golden/preln/pytorch_model.bin'), path),
  'config.json': async (path) => {
    await folder('made', '')
    cpSync('made/config.json', path)
  },
  'model.safetensors': async (path) => {
    await folder('made', '')
    cpSync('made/model.safetensors', path)
  },
}

/** A name of the hub. */
const hubName = /^[\w-]+\/[\w.-]+$/

/** Makes the inputs that an example names and that are not there. */
async function provide(words: readonly string[], line: string): Promise<void> {
  const command = words[1] === 'parity' ? `parity ${words[2]}` : words[1]
  let isArgument = true
  for (const [index, word] of words.entries()) {
    if (index < command.split(' ').length + 1) continue
    const before = words[index - 1]
    isArgument &&= !word.startsWith('-')
    const ending = Object.keys(byEnding).find((one) => word.endsWith(one))
    const make =
      byFlag[before] === none
        ? none
        : ((ending && byEnding[ending]) ?? byFlag[before] ?? (isArgument && byCommand[command]))
    const name = word.slice(word.indexOf('=') + 1)
    if (!make || make === none || name === embeddedName) continue
    if (command === 'convert' && isArgument && words[index - 2] === command) continue
    if (hubName.test(name)) {
      const own = `hub/models--${name.replace('/', '--')}`
      mkdirSync(`${own}/refs`, { recursive: true })
      writeFileSync(`${own}/refs/main`, 'a'.repeat(40))
      await folder(`${own}/snapshots/${'a'.repeat(40)}`, line)
    } else if (!existsSync(name)) await make(name, line)
  }
}

/** Those of a bucket, which nothing is sent to. */
const keys = {
  AWS_ACCESS_KEY_ID: 'key',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
}

/** Runs the examples of a help in an empty folder. @returns those that fail, with what they say */
export async function faultsOfExamples(help: string, folder: string): Promise<string[]> {
  const here = process.cwd()
  process.chdir(folder)
  try {
    const faults: string[] = []
    const examples = readExamples(examplesOfHelp(help))
    for (const [index, example] of examples.entries())
      faults.push(...(await faultsOf(example, folder, examples.slice(index + 1))))
    return faults
  } finally {
    process.chdir(here)
  }
}

async function faultsOf(example: Example, folder: string, later: readonly Example[]): Promise<string[]> {
  const { line, before, output, words } = example
  await provide(words, line)
  for (const name of before?.match(/\S+\.txt/g) ?? [])
    if (!existsSync(name)) await byEnding['.txt'](name, line)
  const input =
    before === undefined ? [] : execFileSync('sh', ['-c', before], { encoding: 'utf8' }).split('\n')
  const help = await runInside([words[1], ...(words[1] === 'parity' ? [words[2]] : []), '--help', 'all'])
  const less = amounts
    .filter(([flag, , unless]) => help.stdout.includes(`\n  ${flag} `) && !(unless && unless.test(line)))
    .flatMap(([flag, value]) => [flag.split(' ')[0], value])
  const elsewhere = (word: string): string =>
    /^rediss?:/.test(word) ? nobody : word.startsWith('/') ? join(folder, word) : word
  const interrupt = new AbortController()
  const written = words.filter((_, index) => byFlag[words[index - 1]] === none)
  const reads = ({ first }: Example): boolean =>
    first.some(
      (word, index, all) =>
        byFlag[all[index - 1]] !== none && written.some((name) => word.split(/[/=]/).includes(name)),
    )
  const isRead = later.some(reads)
  let timer: NodeJS.Timeout | undefined
  const result = await runInside([...words.slice(1).map(elsewhere), ...less], {
    input,
    env: {
      HF_HUB_CACHE: join(folder, 'hub'),
      HF_HUB_OFFLINE: '1',
      XDG_CACHE_HOME: join(folder, 'cache'),
      ...keys,
    },
    interrupt,
    interruptWhen: ({ update }) => {
      if (!isRead && update?.stage !== 'loading') timer ??= setTimeout(() => interrupt.abort(), moment)
      return false
    },
  })
  clearTimeout(timer)
  if (output !== undefined) writeFileSync(output, result.stdout)
  return isAsItShould(result, line, interrupt.signal.aborted)
    ? []
    : [`${line}: ${result.code} ${result.stderr}`]
}

function isAsItShould({ code, stderr }: CliResult, line: string, wasStopped: boolean): boolean {
  if (/ (rediss?|s3):/.test(line)) return /\[(QUEUE_CONNECTION|SHARD_STORE)\]\n$/.test(stderr)
  return code === 0 || (code === 130 && wasStopped) || /\[(GPU|BACKEND)_MISSING\]\n$/.test(stderr)
}
