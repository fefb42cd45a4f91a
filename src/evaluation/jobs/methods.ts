/**
 * Methods as part of a shard: what is asked of whoever does it, and the files that they decide by.
 *
 *   settings   methods    each with the name of the file that it decides by, or null
 *   files      by-0, ...  a predictor, or a static method's mean scores
 */
import { criteria } from '../../criteria/index.ts'
import type { PlainJson } from '../../io/canonical_json.ts'
import { refusal } from '../../io/refusal.ts'
import type { Shard, ShardContext } from '../../jobs/shard.ts'
import type { ShardStore } from '../../jobs/shard_store.ts'
import { scopes } from '../../masks/budget.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { plannerNames } from '../../predictor/planners.ts'
import { encodePredictor, parsePredictor, type Predictor } from '../../predictor/predictor_file.ts'
import { checkPredictor } from '../../predictor/suitable.ts'
import { isObject } from '../../tensor/arguments.ts'
import { encodeUnits, parseUnits } from '../../calibration/job_inputs.ts'
import { predictorKindOf, type Method, type MethodInputs } from '../method.ts'

/** What a shard says of its methods. */
export interface PackedMethods {
  readonly methods: PlainJson
  /** Their files in the store. */
  readonly files: Readonly<Record<string, string>>
}

/** Puts what methods decide by into a store, each file once. */
export async function packMethods(
  methods: readonly Method[],
  inputsOf: (method: Method) => MethodInputs,
  store: ShardStore,
): Promise<PackedMethods> {
  const names = new Map<string, string>()
  const entries: PlainJson[] = []
  for (const method of methods) {
    const bytes = bytesOf(inputsOf(method))
    const file = bytes && (await store.add(bytes))
    if (file && !names.has(file)) names.set(file, `by-${names.size}`)
    entries.push({
      method: method as unknown as PlainJson,
      by: file ? (names.get(file) as string) : null,
    })
  }
  return { methods: entries, files: Object.fromEntries([...names].map(([file, name]) => [name, file])) }
}

/** Encoded once: many shards are done with the same. */
const encoded = new WeakMap<object, Uint8Array>()

function bytesOf({ mean, predictor }: MethodInputs): Uint8Array | null {
  const source = predictor ?? mean
  if (!source) return null
  let bytes = encoded.get(source)
  if (!bytes) {
    bytes = predictor ? encodePredictor(predictor) : encodeUnits(mean as NonNullable<typeof mean>)
    encoded.set(source, bytes)
  }
  return bytes
}

/** The methods of a shard, and what each decides by, which is read when it is asked for. */
export interface UnpackedMethods {
  readonly methods: readonly Method[]
  readonly inputsOf: (method: Method) => Promise<MethodInputs>
}

/**
 * Works with the methods of a shard, and gives back what was read for them.
 * @throws InputError SHARD_FORMAT, PREDICTOR_MODEL and the like for settings or files that are not what they should be
 */
export async function withMethods<T>(
  { settings }: Shard,
  { read }: ShardContext,
  model: OptModel,
  work: (unpacked: UnpackedMethods) => Promise<T>,
): Promise<T> {
  const entries = Array.isArray(settings.methods) ? settings.methods : []
  if (entries.length === 0 || !entries.every(isEntry))
    throw refusal('SHARD_FORMAT', 'shard methods', 'methods and what they decide by', 'something else')
  const places = new Map(entries.map(({ method, by }) => [method, by]))
  const predictors = new Map<string, Promise<Predictor>>()
  const openPredictor = async (by: string, method: Method): Promise<Predictor> => {
    const predictor = await parsePredictor(await read(by), model.backend)
    try {
      const kind = predictorKindOf(method)
      if (predictor.kind !== kind)
        throw refusal('SHARD_FORMAT', 'shard predictor', `one of the kind ${kind}`, predictor.kind)
      checkPredictor(predictor, model.config, `shard predictor ${kind}`)
      return predictor
    } catch (error) {
      predictor.dispose()
      throw error
    }
  }
  const inputsOf = async (method: Method): Promise<MethodInputs> => {
    const by = places.get(method) ?? null
    if (by === null) return {}
    if (method.planner === 'static') return { mean: await parseUnits(await read(by), model.shape) }
    const known = predictors.get(by) ?? openPredictor(by, method)
    predictors.set(by, known)
    return { predictor: await known }
  }
  try {
    return await work({ methods: [...places.keys()], inputsOf })
  } finally {
    for (const opening of predictors.values()) (await opening.catch(() => null))?.dispose()
  }
}

interface Entry {
  readonly method: Method
  readonly by: string | null
}

/** Whether each field of a method is what it must be. What it learnt from is in its file, and not looked at. */
function isEntry(value: unknown): value is Entry {
  const { method, by = null } = isObject(value) ? (value as Partial<Entry>) : {}
  if (!isObject(method)) return false
  const found: Partial<Method> = method
  const isCount = (count: unknown, least: number): boolean =>
    Number.isInteger(count) && Number(count) >= least
  const isShare = (share: unknown): boolean => typeof share === 'number' && share >= 0 && share <= 1
  const isMissingOr = (field: unknown, holds: (field: unknown) => boolean): boolean =>
    field === undefined || holds(field)
  const isFlag = (flag: unknown): boolean => typeof flag === 'boolean'
  const { planner, criterion, sparsity, headSparsity, neuronSparsity, scope, every, samples } = found
  const { leaky, paperCompatible, denseLayers } = found
  const scores = planner === 'oracle' || planner === 'prompt-plainact'
  return (
    plannerNames.some((name) => name === planner) &&
    (scores ? criteria.some(({ name }) => name === criterion) : typeof criterion === 'string') &&
    isShare(sparsity) &&
    isMissingOr(headSparsity, isShare) &&
    isMissingOr(neuronSparsity, isShare) &&
    scopes.some((name) => name === scope) &&
    (every === 'once' || isCount(every, 1)) &&
    isMissingOr(samples, (count) => isCount(count, 1)) &&
    isMissingOr(denseLayers, (count) => isCount(count, 0)) &&
    isMissingOr(leaky, isFlag) &&
    isMissingOr(paperCompatible, isFlag) &&
    (by === null ? !asksFile(found as Method) : typeof by === 'string' && asksFile(found as Method))
  )
}

function asksFile(method: Method): boolean {
  return method.planner === 'static' || predictorKindOf(method) !== null
}
