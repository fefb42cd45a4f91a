/**
 * `shadowllm inspect`: what a checkpoint holds, read from its headers; no weight is loaded, unless it is asked what storing
 * weights in fewer bits would cost.
 */
import type { Command } from 'commander'
import { kindOf, readWhole } from '../../io/files.ts'
import { parseJson, toPlain } from '../../io/json.ts'
import { createBackend } from '../../backends/select.ts'
import { loadBrown } from '../../data/corpus.ts'
import { measureStorages, storageTexts, type StorageError } from '../../evaluation/storage_error.ts'
import type { HubOrigin } from '../../io/hub.ts'
import { isGguf, openModelFolder, openWeights, type ModelFolder } from '../../io/load.ts'
import { familyWords, parseConfig, remoteCodeFields, type ModelConfig } from '../../engine/config.ts'
import {
  chosenStorage,
  storageNamed,
  storages,
  type Storage,
  storageOption,
} from '../../engine/storages/index.ts'
import { cacheBytes } from '../../engine/kv_cache.ts'
import { cacheStorages } from '../../engine/layer_cache.ts'
import { LanguageModel } from '../../engine/language_model.ts'
import { layerOf, siteIn } from '../../engine/plan.ts'
import { modelPlan } from '../../engine/program.ts'
import { folderOf, joinPath } from '../../platform/platform.ts'
import { InputError } from '../../tensor/errors.ts'
import { shownLine } from '../../tensor/quote.ts'
import type { TensorInfo } from '../../tensor/tensor_source.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { findWithProgress } from '../open_model.ts'
import { wrapLines } from '../../results/fold.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { countOf, formatBytes, formatColumns, formatCount } from '../words.ts'
import { listOf, whole, addOwnFlags, type FlagsOf } from '../values.ts'

const help = `
PATH is a model's folder, one weights file (.safetensors, .bin, .gguf or an .index.json), or a name on the hub, which is
then downloaded. Tensors of a GGUF file have the names of Hugging Face here.

With --storage the model is loaded in float32 and in each storage named, and reads --texts pieces of the Brown corpus in
each: how far its logits and its perplexity are from float32.
${storages.map((name) => `  ${name.padEnd(5)} ${storageNamed(name).words}`).join('\n')}

Examples:
  $ shadowllm inspect FILE.gguf
  $ shadowllm inspect DIR --storage ${storages.slice(1).join(',')}
  $ shadowllm inspect model.safetensors --json`

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  command.argument('<path>', 'folder, weights file or name on the hub')
  addFlags(command, 'hub')
  addOwnFlags(command, ownFlags)
  addFlags(command, 'json')
    .addHelpText('after', help)
    .action(async (path: string, flags: InspectFlags) => {
      const { path: place, origin } = await findWithProgress(session, path, flags)
      const contents = await inspect(path, place)
      const errors = flags.storage && (await measure(session, place, flags.storage, flags.texts))
      const all: InspectOutput = {
        ...contents,
        ...(origin && { hub: origin }),
        ...(errors && { storages: errors }),
      }
      await printResult(
        session,
        flags,
        all,
        (_, { columns }) =>
          `${formatContents(contents, columns)}${errors ? `\n${formatErrors(errors, columns)}` : ''}`,
      )
    })
}

const ownFlags = [
  listOf(
    '--storage <names>',
    'measure the error of these storages, separated by commas (default: none)',
    storageOption,
  ),
  ['--texts <count>', 'pieces of the Brown corpus to read for that', whole(1, 500), 16],
] as const

type InspectFlags = FlagsOf<typeof ownFlags> & SharedFlags<'hub' | 'json'>

/** Loads the model in every storage, one after the other. */
async function measure(
  session: Session,
  path: string,
  names: readonly Storage[],
  texts: number,
): Promise<StorageError[]> {
  const { configJson, source, tokenizer } = await openModelFolder(path)
  try {
    const config = parseConfig(configJson)
    if (!tokenizer)
      throw new InputError('TOKENIZER_MISSING', `${path}: expected a tokenizer to read texts with, got none`)
    const encode = (text: string): number[] => tokenizer.encode(text, { prefix: false })
    const tokens = storageTexts(await loadBrown(), encode, tokenizer.prefixIds, config.positions, texts)
    return await measureStorages(tokens, names, async (storage) => {
      session.signal.throwIfAborted()
      session.progress.update({ stage: storage, done: 0, total: 1 })
      return LanguageModel.load(config, source, await createBackend('wasm'), {
        storage,
        signal: session.signal,
      })
    })
  } finally {
    session.progress.clear()
    await source.close()
  }
}

function formatErrors(errors: readonly StorageError[], columns: number): string {
  const [{ tokens }] = errors
  const rows = errors.map(({ storage, bytes, kl, tokenPerplexity, agreed }) => [
    storage,
    formatBytes(bytes),
    kl.toExponential(1),
    tokenPerplexity.toFixed(3),
    `${(100 * agreed).toFixed(2)} %`,
  ])
  const head = ['storage', 'weights', 'KL from f32, nats', 'perplexity per token', 'same likeliest token']
  const table = formatColumns([head, ...rows], [1, 2, 3, 4], { columns })
  return `${table}over ${formatCount(tokens)} tokens of the Brown corpus\n`
}

/** What `--json` prints. */
export interface InspectOutput extends Contents {
  /** Where a model of the hub is from. */
  readonly hub?: HubOrigin
  /** With --storage. */
  readonly storages?: readonly StorageError[]
}

/** What a checkpoint holds. */
export interface Contents {
  readonly path: string
  /** Null where a weights file has no config.json beside it. */
  readonly config: ModelConfig | null
  /** Fields of config.json that would have others run code of the repository; nothing here follows them. */
  readonly remoteCode: readonly string[]
  /** Numbers stored, tied weights counted once. */
  readonly parameters: number
  readonly bytes: number
  /** As the file has them. */
  readonly tensors: readonly Omit<TensorInfo, 'inFile'>[]
  /** Whether layers of the file have fewer heads or neurons than `config` says, which are those of the layer that has most. */
  readonly layersDiffer?: true
}

/** Layer 2 is before layer 10. */
const inOrder = new Intl.Collator('en', { numeric: true })

async function inspect(path: string, place: string): Promise<Contents> {
  const { configJson, source } = await open(place)
  try {
    const config = configJson === null ? null : parseConfig(configJson)
    const handedOut = [...source.tensors.values()].toSorted((a, b) => inOrder.compare(a.name, b.name))
    const tensors = handedOut.map(({ inFile, ...info }) => ({ ...info, ...inFile }))
    const counted = tensors.filter((tensor) => !isTied(tensor, config))
    return {
      path,
      config,
      remoteCode: remoteCodeFields(configJson),
      parameters: counted.reduce((total, { shape }) => total + shape.reduce((size, n) => size * n, 1), 0),
      bytes: tensors.reduce((total, tensor) => total + (tensor.sameAs ? 0 : storedBytes(tensor)), 0),
      tensors,
      ...(handedOut.some(({ inFile }) => inFile) && { layersDiffer: true }),
    }
  } finally {
    await source.close()
  }
}

/** A folder must have a config; a single file may. */
async function open(path: string): Promise<Pick<ModelFolder, 'configJson' | 'source'>> {
  const beside = joinPath(folderOf(path), 'config.json')
  if ((await kindOf(path)) !== 'file' || isGguf(path)) return openModelFolder(path)
  const source = await openWeights(path)
  try {
    const hasConfig = (await kindOf(beside)) === 'file'
    return { configJson: hasConfig ? toPlain(parseJson(await readWhole(beside), beside)) : null, source }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** A second name of the same numbers: by storage where the file shares it, by name where the config ties the head. */
function isTied({ name, sameAs }: TensorInfo, config: ModelConfig | null): boolean {
  return sameAs !== undefined || (name === 'lm_head.weight' && config?.tied === true)
}

/** Bytes of a tensor in its file. */
function storedBytes({ byteLength, stored }: TensorInfo): number {
  return stored?.byteLength ?? byteLength
}

function formatContents(
  { path, config, remoteCode, parameters, bytes, tensors, layersDiffer }: Contents,
  columns: number,
): string {
  const rows = tensors.map((tensor) => [
    tensor.name,
    tensor.stored?.type ?? tensor.dtype,
    `[${tensor.shape.join(', ')}]`,
    formatBytes(storedBytes(tensor)),
    tensor.sameAs ? `same as ${tensor.sameAs}` : '',
  ])
  const table = formatColumns([['tensor', 'type', 'shape', 'size', ''], ...rows], [3], { columns })
  const held = chosenStorage('file', { tensors: new Map(tensors.map((one) => [one.name, one])) })
  const summary = [
    `${path}: ${countOf(tensors.length, 'tensor')}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}`,
    ...(config ? describeConfig(config) : ['no config.json beside it']),
    ...(held === 'f32'
      ? []
      : [
          `generate, chat, serve and bench hold the weights as ${held}, as the file has them, and round activations; --storage f32 widens the weights, and rounds no activations`,
        ]),
    ...(layersDiffer ? ['layers differ: heads and neurons are those of the layer that has most'] : []),
    ...(remoteCode.length > 0 ? [`not followed, they name remote code: ${remoteCode.join(', ')}`] : []),
  ]
  const words = `${summary.map((line) => wrapLines(shownLine(line), columns)).join('\n')}\n`
  // A terminal shows the end, `head` the beginning.
  return (columns === Infinity ? [words, table] : [table, words]).join('\n')
}

function describeConfig(config: ModelConfig): string[] {
  const { layers, width, heads, keyHeads, headSize, neurons, vocabulary, positions, embeddingWidth } = config
  const plan = modelPlan(config)
  const first = layerOf(plan, 0)
  const isGated = siteIn(first, 'neurons').makers.length > 1
  const family = familyWords[config.family]
  const groups = keyHeads === heads ? '' : ` in ${keyHeads} groups`
  const blocks = `${family}: ${layers} layers of width ${width}, ${heads} heads of ${headSize}${groups}, ${neurons} ${isGated ? 'gated ' : ''}neurons`
  const ends = `vocabulary ${vocabulary}${embeddingWidth === width ? '' : `, embedded in ${embeddingWidth}`}`
  const norm = first.steps[0].value.op === 'linear' ? 'norm after each sum' : 'norm before each branch'
  const head = plan.parameters.has('lm_head.weight') ? 'head of its own' : 'tied head'
  const sliding = (config.layerWindow ?? []).filter((one) => one !== null)
  const windows =
    sliding.length > 0 ? `; ${sliding.length} layers with a window of ${Math.max(...sliding)}` : ''
  const sizes = cacheStorages.map((one) => `${formatBytes(cacheBytes(config, one, positions))} as ${one}`)
  return [
    `${blocks}; ${ends}; ${positions} positions${windows}; ${norm}; ${head}`,
    `keys and values of ${positions} positions: ${sizes.join(', ')}`,
  ]
}
