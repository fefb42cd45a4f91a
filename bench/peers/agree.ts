/**
 * Whether llama.cpp says the same of every GGUF file of a folder: both engines read the file, and continue one prompt greedily
 * each for itself. Compared are the tokens, and the log-probabilities of all tokens at each step. And how fast it is with each of them.
 */
import { createBackend } from '../../src/backends/select.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { openFile } from '../../src/io/files.ts'
import { openModelFolder } from '../../src/io/load.ts'
import { joinPath, list } from '../../src/platform/platform.ts'
import { MissingError } from '../../src/tensor/errors.ts'
import { F16_TOLERANCE, INT8_TOLERANCE, promptOf, relativeError, type Decoder } from './decoder.ts'
import { loadLlama } from './llama_cpp.ts'
import { CAPACITY, timeArms, type Timed } from './measure.ts'

/** Tokens of the prompt, and how many follow it. */
const [PROMPT, STEPS] = [8, 16]

/** What a model said in both engines. */
interface Agreement {
  readonly model: string
  readonly family: string
  /** Of the file. */
  readonly bytes: number
  /** How many greedy tokens were compared, and how many are equal before the first that differs. */
  readonly tokens: number
  readonly equal: number
  /**
   * The largest difference of a log-probability at a step whose tokens so far are equal, as a share of the largest one; NaN where
   * one is not a number.
   */
  readonly error: number
  /**
   * Whether all tokens are equal and the difference is what llama.cpp's cache of half precision explains; of a file of blocks, whose
   * activations it rounds to 8 bits, whether the difference is what that explains.
   */
  readonly agrees: boolean
}

/** A greedy continuation: its tokens, and the log-probabilities that each was chosen from. */
interface Continuation {
  readonly tokens: readonly number[]
  readonly logs: readonly Float32Array[]
}

/** The logarithms of the probabilities of logits. */
function logProbabilities(logits: Float32Array): Float32Array {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity)
  const sum = logits.reduce((sum, value) => sum + Math.exp(value - largest), 0)
  return logits.map((value) => value - largest - Math.log(sum))
}

/** Continues the prompt with the likeliest tokens; of equal ones the first. */
async function continueGreedily(
  decoder: Pick<Decoder, 'begin' | 'next'>,
  vocabulary: number,
): Promise<Continuation> {
  const tokens: number[] = []
  const logs: Float32Array[] = []
  let logits = await decoder.begin(promptOf(PROMPT, vocabulary), true)
  for (;;) {
    const own = logProbabilities(logits)
    const token = own.indexOf(own.reduce((most, value) => Math.max(most, value), -Infinity))
    logs.push(own)
    tokens.push(token)
    if (tokens.length === STEPS || token === -1) return { tokens, logs }
    logits = await decoder.next(token, true)
  }
}

/** Compares two continuations of one prompt. @param isRounded whether one rounds activations */
export function compareContinuations(
  ours: Continuation,
  theirs: Continuation,
  isRounded = false,
): Pick<Agreement, 'tokens' | 'equal' | 'error' | 'agrees'> {
  const tokens = ours.tokens.length
  const differs = ours.tokens.findIndex((token, i) => theirs.tokens[i] !== token)
  const equal = differs === -1 ? tokens : differs
  // The step at which the first token differs follows equal ones too.
  const error = relativeError(ours.logs.slice(0, equal + 1), theirs.logs.slice(0, equal + 1))
  const agrees = isRounded ? error <= INT8_TOLERANCE : equal === tokens && error <= F16_TOLERANCE
  return { tokens, equal, error, agrees }
}

async function agreeOn(folder: string, name: string): Promise<Agreement> {
  const path = joinPath(folder, name)
  const { configJson, source } = await openModelFolder(path)
  const config = parseConfig(configJson)
  const isRounded = [...source.tensors.values()].some(({ stored }) => stored)
  const backend = await createBackend('wasm', { threads: 1 })
  const capacity = PROMPT + STEPS
  try {
    const model = await LanguageModel.load(config, source, backend, { storage: 'f32' })
    const sequence = model.begin({ capacity })
    const ours = await continueGreedily(
      {
        begin: (prompt) => sequence.feed(prompt, 'last'),
        next: (token) => sequence.feed(Int32Array.of(token), 'last'),
      },
      config.vocabulary,
    )
    const peer = await loadLlama(path, config.vocabulary, 1, capacity)
    const theirs = await continueGreedily(peer, config.vocabulary)
    await peer.dispose()
    return {
      model: name.replace(/\.gguf$/i, ''),
      family: config.family,
      bytes: await bytesIn(path),
      ...compareContinuations(ours, theirs, isRounded),
    }
  } finally {
    backend.dispose()
    await source.close()
  }
}

async function bytesIn(path: string): Promise<number> {
  const file = await openFile(path)
  await file.close()
  return file.size
}

/** The GGUF files of a folder, by name. @throws MissingError MODEL_MISSING where it has none */
async function filesIn(folder: string): Promise<string[]> {
  const names = (await list(folder)).filter((name) => /\.gguf$/i.test(name)).toSorted()
  if (names.length > 0) return names
  throw new MissingError('MODEL_MISSING', `--agree ${folder}: expected GGUF files, got none`)
}

/** Compares all files of a folder. @throws as `filesIn`; MissingError PEERS_MISSING; what reading a file throws */
export async function agreementsIn(folder: string): Promise<Agreement[]> {
  const rows: Agreement[] = []
  for (const name of await filesIn(folder)) rows.push(await agreeOn(folder, name))
  return rows
}

/**
 * Times llama.cpp on one thread with each file of a folder, which take turns. The rates are in the order of the files.
 * @throws as `agreementsIn`
 */
export async function timesIn(folder: string, rounds: number): Promise<Timed[]> {
  const arms: { readonly name: string; readonly decoder: Decoder }[] = []
  let vocabulary = Infinity
  for (const name of await filesIn(folder)) {
    const path = joinPath(folder, name)
    const { configJson, source } = await openModelFolder(path)
    await source.close()
    const { vocabulary: own } = parseConfig(configJson)
    vocabulary = Math.min(vocabulary, own)
    arms.push({ name, decoder: await loadLlama(path, own, 1, CAPACITY) })
  }
  const timed = await timeArms(arms, vocabulary, rounds)
  for (const { decoder } of arms) await decoder.dispose()
  return timed
}
