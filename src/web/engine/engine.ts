/**
 * The calls of the engine: those of the library on open models, and those of the page.
 *
 * Models have numeric handles, which are never reused. Arguments come from another thread and are checked: options by the
 * library, all others here.
 */
import { countParameters } from '../../cost/architectures.ts'
import { modelBytes } from '../../cost/token_cost.ts'
import { lookUpModel } from '../../io/hub/in_memory.ts'
import { readHubSettings } from '../../io/hub/settings.ts'
import { parseJson, toPlain } from '../../io/json.ts'
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import { parseConfig } from '../../engine/config.ts'
import { storages } from '../../engine/storages/index.ts'
import type { BatchInput, GenerateOptions, MaskOptions, OpenOptions } from '../../library/options.ts'
import type { PlanOptions } from '../../library/planner_options.ts'
import { argmax } from '../../engine/sampling.ts'
import { withSequence } from '../../engine/language_model.ts'
import { mountFolder, unmountFolder } from '../../platform/platform.ts'
import { ShadowModel } from '../../library/shadow_model.ts'
import { describeValue, isObject } from '../../tensor/arguments.ts'
import { expectOption, kinds } from '../../tensor/option.ts'
import { UsageError } from '../../tensor/errors.ts'
import { recordOf } from '../../tensor/records.ts'
import type { Ids } from '../../tensor/ndarrays.ts'
import type { VerifyOptions } from '../../verify/index.ts'
import type { fasterModel } from './faster_model.ts'
import type { HubModelInfo, ModelInfo, NextToken } from './model_info.ts'
import { predictorParts } from './predictor_parts.ts'
import { study } from './study.ts'
import type { StudyOptions } from './study_types.ts'
import type { CallTable } from './worker_rpc.ts'

/** An open model, the folder of its files if they were given, and how it was opened. */
interface Held {
  readonly opt: ShadowModel
  readonly folder: string | null
  readonly given: OpenOptions
}

/** Loaded when it is first asked. */
const findFaster: typeof fasterModel = async (...given) =>
  (await import('./faster_model.ts')).fasterModel(...given)

/** A new engine without models. @param find finds where a model runs faster */
export function createEngine(find: typeof fasterModel = findFaster): CallTable {
  const models = new Map<number, Held>()
  let handles = 0
  let folders = 0
  const heldOf = (handle: unknown): Held => {
    const held = models.get(handle as number)
    if (held) return held
    throw new UsageError(
      'DISPOSED',
      `model: expected the handle of an open model, got ${describeValue(handle)}`,
    )
  }
  const modelOf = (handle: unknown): ShadowModel => heldOf(handle).opt
  const keep = (held: Held): ModelInfo => {
    models.set(++handles, held)
    const { opt } = held
    const { name, origin, files, config, model, tokenizer } = opt
    const { threads } = model.backend
    const { storage } = model.weights
    const hasTokenizer = tokenizer !== null
    return { handle: handles, name, origin, files, config, storage, threads, hasTokenizer }
  }
  return {
    async open({ signal, progress }, source, options) {
      const given = { ...readOptions<OpenOptions>(options), signal, onProgress: progress }
      if (typeof source === 'string')
        return keep({ opt: await ShadowModel.fromPretrained(source, given), folder: null, given })
      const folder = mountFolder(`folder-${++folders}`, readFiles(source))
      try {
        return keep({ opt: await ShadowModel.fromPretrained(folder, given), folder, given })
      } catch (error) {
        unmountFolder(folder)
        throw error
      }
    },
    generate: ({ signal }, handle, prompt, options) =>
      modelOf(handle).generate(prompt as string, { ...readOptions<GenerateOptions>(options), signal }),
    async forward({ signal }, handle, input, options) {
      const given = { ...readOptions<PlanOptions>(options), signal }
      const { logits } = await modelOf(handle).forward(input as Ids | BatchInput, given)
      return { values: logits.data, shape: logits.shape }
    },
    mask: (_, handle, prompt, options) =>
      modelOf(handle).mask(prompt as string, readOptions<MaskOptions>(options)),
    perplexity: ({ signal }, handle, text) => modelOf(handle).perplexity(text as string, { signal }),
    encode: async (_, handle, text) => modelOf(handle).encode(text as string),
    study: ({ signal }, handle, prompt, options) =>
      study(modelOf(handle), prompt as string, { ...readOptions<StudyOptions>(options), signal }),
    predictor: async (_, handle, ids) => predictorParts(modelOf(handle), readIds(ids)),
    next: async (_, handle, ids, masks) => nextTokens(modelOf(handle), ids, masks),
    lookUp: ({ signal }, id) => lookUp(id, signal),
    // The laws and fast-check are loaded on demand.
    async *verify({ signal }, options) {
      const { verify } = await import('../../verify/index.ts')
      yield* verify({ ...readOptions<VerifyOptions>(options), signal })
    },
    async faster({ signal }, handle) {
      const held = heldOf(handle)
      const { opt, folder, given } = held
      // Files of a hub are not kept: they would come a second time.
      if (folder === null) return { choice: { speeds: null, reason: 'missing', words: null }, info: null }
      const open = (): Promise<ShadowModel> =>
        ShadowModel.fromPretrained(folder, { storage: given.storage, backend: 'webgpu', signal })
      const { choice, faster } = await find(opt, open, signal)
      if (faster === null) return { choice, info: null }
      // The files are those of both models, and go with the last one.
      models.set(handle as number, { ...held, folder: null })
      return { choice, info: keep({ opt: faster, folder, given }) }
    },
    async dispose(_, handle) {
      const held = models.get(handle as number)
      models.delete(handle as number)
      await held?.opt.dispose()
      if (held?.folder) unmountFolder(held.folder)
    },
  }
}

/** The size of a model of the hub. @throws as `lookUpModel` and `parseConfig` */
async function lookUp(id: unknown, signal: AbortSignal): Promise<HubModelInfo> {
  expectOption('model', id, { ...kinds.text, code: 'HUB_ID' })
  const { origin, bytes, readConfig } = await lookUpModel(id as string, await readHubSettings(), { signal })
  const parsed = parseConfig(toPlain(parseJson(await readConfig(), 'config.json')))
  const memory = recordOf(storages, (storage) => modelBytes(parsed, storage))
  return { origin, bytes, parameters: countParameters(parsed), memory }
}

/** Options as an object; the library checks its content. @throws UsageError OPTIONS */
function readOptions<Options extends object>(options: unknown): Options {
  if (options === undefined) return {} as Options
  if (isObject(options) && !Array.isArray(options)) return options as Options
  throw new UsageError('OPTIONS', `options: expected an object, got ${describeValue(options)}`)
}

/** The files of a folder. @throws UsageError MODEL_NAME */
function readFiles(source: unknown): Map<string, Blob> {
  if (source instanceof Map && [...source].every(([name, file]) => typeof name === 'string' && isBlob(file)))
    return source as Map<string, Blob>
  throw new UsageError('MODEL_NAME', `model: expected a name or files, got ${describeValue(source)}`)
}

const isBlob = (value: unknown): boolean => value instanceof Blob

/**
 * The most likely next tokens under any of some masks, best first.
 * @param ids [T] @param masks null is dense
 * @throws UsageError TOKENS, MASK_SHAPE, MASK_VALUE, CONTEXT_LENGTH
 */
function nextTokens(opt: ShadowModel, ids: unknown, masks: unknown): NextToken[] {
  const tokens = readIds(ids)
  const tables = (Array.isArray(masks) ? masks : []).map((mask) => likelihoods(opt, tokens, readMask(mask)))
  const best = (id: number): number => Math.max(...tables.map((table) => table[id]))
  return [...new Set(tables.flatMap((table) => likeliest(table)))]
    .toSorted((a, b) => best(b) - best(a) || a - b)
    .slice(0, SHOWN)
    .map((id) => {
      const text = opt.tokenizer?.decode([id]) ?? String(id)
      return { id, text, shares: tables.map((table) => table[id]) }
    })
}

/** Ids of tokens. @throws UsageError TOKENS */
function readIds(ids: unknown): Int32Array {
  if (ids instanceof Int32Array) return ids
  throw new UsageError('TOKENS', `tokens: expected ids in an Int32Array, got ${describeValue(ids)}`)
}

/** The number of tokens shown. */
const SHOWN = 8

/** The distribution of the next token: [V]. */
function likelihoods(opt: ShadowModel, ids: Int32Array, mask: UnitMask | null): Float64Array {
  return withSequence(opt.model, { mask, capacity: ids.length }, (sequence) => {
    const logits = sequence.feed(ids, 'last')
    const largest = logits[argmax(logits)]
    const weights = Float64Array.from(logits, (logit) => Math.exp(logit - largest))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return weights.map((weight) => weight / total)
  })
}

function likeliest(shares: Float64Array): number[] {
  return Array.from(shares.keys())
    .toSorted((a, b) => shares[b] - shares[a] || a - b)
    .slice(0, SHOWN)
}

function readMask(mask: unknown): UnitMask | null {
  if (mask === null) return null
  const { shape, heads, neurons } = (isObject(mask) ? mask : {}) as UnitMask
  return makeMask(shape, heads, neurons)
}
