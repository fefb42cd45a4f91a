/**
 * The values of torch pickles, and the few functions that they may call.
 *
 * Known names are `collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`, `torch._utils._rebuild_parameter` and
 * the storage classes of torch. A call creates a plain record; no name refers to code.
 */
import type { SourceDtype } from '../tensor/dtypes.ts'
import type { InputError } from '../tensor/errors.ts'
import { quote } from './refusal.ts'
import { MAX_DIMENSIONS } from './tensor_name.ts'

/** A value of a pickle. Integers are numbers; other values have a kind. */
export type PickleValue = null | boolean | number | string | PickleNode

/** A composite value. */
type PickleNode =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'tuple'; readonly items: readonly PickleValue[] }
  | { readonly kind: 'list'; readonly items: PickleValue[] }
  | { readonly kind: 'dict'; readonly items: Map<string, PickleValue>; readonly ordered: boolean }
  | { readonly kind: 'function'; readonly name: PickleFunction }
  | { readonly kind: 'storage type'; readonly name: string; readonly dtype: SourceDtype }
  | PickleStorage
  | PickleTensor

/** A storage of the file, or part of one, by its key. */
export interface PickleStorage {
  readonly kind: 'storage'
  readonly key: string
  readonly dtype: SourceDtype
  /** The number of its elements. */
  readonly length: number
  /** The referenced part, with its own key; the whole storage if there is none. Sizes are unchecked. */
  readonly view?: StorageView
}

/** Part of a storage, in elements; only in the format before torch 1.6. */
interface StorageView {
  readonly key: string
  readonly offset: number
  readonly length: number
}

/** A tensor: a view of a storage. Sizes are unchecked. */
export interface PickleTensor {
  readonly kind: 'tensor'
  readonly storage: PickleStorage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

const functions = [
  'collections.OrderedDict',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_parameter',
] as const

type PickleFunction = (typeof functions)[number]

const storageTypes: ReadonlyMap<string, SourceDtype> = new Map([
  ['torch.DoubleStorage', 'F64'],
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
])

/** Describes a value for error messages. */
export function describePickle(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return `the text ${quote(value)}`
  if (typeof value !== 'object' || value === null) return value === null ? 'None' : String(value)
  if (value.kind === 'function' || value.kind === 'storage type') return value.name
  if (value.kind === 'storage' || value.kind === 'tensor') return `a ${value.kind}`
  return value.kind === 'float' ? `${value.value}` : `a ${value.kind} of ${countOf(value.items)}`
}

function countOf(items: readonly unknown[] | ReadonlyMap<unknown, unknown>): number {
  return items instanceof Map ? items.size : (items as readonly unknown[]).length
}

/** Whether a value is of a kind. */
export function isKind<Kind extends PickleNode['kind']>(
  value: PickleValue | undefined,
  kind: Kind,
): value is Extract<PickleNode, { kind: Kind }> {
  return typeof value === 'object' && value !== null && value.kind === kind
}

/** The value of a name; null if the name is unknown. */
export function resolveName(name: string): PickleValue | null {
  const known = functions.find((one) => one === name)
  if (known !== undefined) return { kind: 'function', name: known }
  const dtype = storageTypes.get(name)
  return dtype === undefined ? null : { kind: 'storage type', name, dtype }
}

/** Creates the error of the current opcode. */
export type Refuse = (code: string, expected: string, got: string) => InputError

/**
 * ('storage', type, key, device, length): a reference to a storage.
 * @throws InputError PICKLE_PERSID for what is no reference to a storage; PICKLE_STORAGE_KEY, PICKLE_TENSOR for an invalid length.
 */
export function makeStorage(id: PickleValue, refuse: Refuse): PickleStorage {
  return namedStorage(id, STORAGE_ID, refuse)
}

/**
 * ('storage', type, key, device, length, view), as before torch 1.6; the view is None or (key, offset, length).
 * @throws InputError as `makeStorage`; PICKLE_VIEW.
 */
export function makeLegacyStorage(id: PickleValue, refuse: Refuse): PickleStorage {
  const storage = namedStorage(id, [...STORAGE_ID, 'view'], refuse)
  const view = isKind(id, 'tuple') ? id.items[STORAGE_ID.length] : null
  if (view === null) return storage
  if (!isKind(view, 'tuple') || view.items.length !== 3)
    throw refuse('PICKLE_VIEW', 'None or (key, offset, length)', describePickle(view))
  const [key, offset, length] = view.items
  return {
    ...storage,
    view: {
      key: storageKey(key, refuse),
      offset: sizeOf(offset, 'the offset of a view', refuse),
      length: sizeOf(length, 'the length of a view', refuse),
    },
  }
}

const STORAGE_ID = ["'storage'", 'type', 'key', 'device', 'length']

function namedStorage(id: PickleValue, parts: readonly string[], refuse: Refuse): PickleStorage {
  const items = isKind(id, 'tuple') ? id.items : []
  const [tag, type, key, device, length] = items
  if (
    items.length !== parts.length ||
    tag !== 'storage' ||
    !isKind(type, 'storage type') ||
    typeof device !== 'string'
  ) {
    throw refuse('PICKLE_PERSID', `(${parts.join(', ')})`, describePickle(id))
  }
  return {
    kind: 'storage',
    key: storageKey(key, refuse),
    dtype: type.dtype,
    length: sizeOf(length, 'the length of a storage', refuse),
  }
}

/** @throws InputError PICKLE_STORAGE_KEY */
function storageKey(key: PickleValue | undefined, refuse: Refuse): string {
  if (isStorageKey(key)) return key
  throw refuse('PICKLE_STORAGE_KEY', 'the key of a storage in digits', describePickle(key))
}

/** Whether a value can be the key of a storage: a counter, or before torch 1.6 an address. */
export function isStorageKey(key: PickleValue | undefined): key is string {
  return typeof key === 'string' && /^[0-9]{1,20}$/.test(key)
}

/**
 * The result of a call of a known function.
 * @throws InputError PICKLE_CALL, PICKLE_TENSOR, TENSOR_SHAPE.
 */
export function callFunction(callee: PickleValue, argument: PickleValue, refuse: Refuse): PickleValue {
  const name = isKind(callee, 'function') ? callee.name : null
  if (name === null || !isKind(argument, 'tuple')) {
    throw refuse('PICKLE_CALL', 'a call of a known function', describePickle(callee))
  }
  const { items } = argument
  if (name === 'collections.OrderedDict' && items.length === 0) {
    return { kind: 'dict', items: new Map(), ordered: true }
  }
  if (name === 'torch._utils._rebuild_tensor_v2' && items.length === 6) return makeTensor(items, refuse)
  if (name === 'torch._utils._rebuild_parameter' && items.length === 3) return makeParameter(items, refuse)
  throw refuse('PICKLE_CALL', `the arguments that torch gives to ${name}`, `${items.length} of them`)
}

/** (storage, offset, shape, strides, requires_grad, hooks) */
function makeTensor(items: readonly PickleValue[], refuse: Refuse): PickleTensor {
  const [storage, offset, shape, strides, requiresGrad, hooks] = items
  if (!isKind(storage, 'storage')) throw refuse('PICKLE_TENSOR', 'a storage', describePickle(storage))
  checkFlags(requiresGrad, hooks, refuse)
  return {
    kind: 'tensor',
    storage,
    offset: sizeOf(offset, 'the offset of a tensor', refuse),
    shape: sizesOf(shape, 'the shape of a tensor', refuse),
    strides: sizesOf(strides, 'the strides of a tensor', refuse),
  }
}

/** (tensor, requires_grad, hooks) */
function makeParameter([tensor, requiresGrad, hooks]: readonly PickleValue[], refuse: Refuse): PickleTensor {
  if (!isKind(tensor, 'tensor')) throw refuse('PICKLE_TENSOR', 'a tensor', describePickle(tensor))
  checkFlags(requiresGrad, hooks, refuse)
  return tensor
}

function checkFlags(requiresGrad: PickleValue, hooks: PickleValue, refuse: Refuse): void {
  if (typeof requiresGrad !== 'boolean') {
    throw refuse('PICKLE_TENSOR', 'requires_grad as True or False', describePickle(requiresGrad))
  }
  if (!isKind(hooks, 'dict') || hooks.items.size > 0) {
    throw refuse('PICKLE_TENSOR', 'no hooks', describePickle(hooks))
  }
}

function sizesOf(value: PickleValue, what: string, refuse: Refuse): number[] {
  if (!isKind(value, 'tuple')) throw refuse('PICKLE_TENSOR', `${what} as a tuple`, describePickle(value))
  // Checked before it is copied, because a tuple may be long and used by many tensors.
  if (value.items.length > MAX_DIMENSIONS)
    throw refuse('TENSOR_SHAPE', `${what} of at most ${MAX_DIMENSIONS} sizes`, `${value.items.length}`)
  return value.items.map((item) => sizeOf(item, what, refuse))
}

function sizeOf(value: PickleValue | undefined, what: string, refuse: Refuse): number {
  if (typeof value === 'number' && value >= 0) return value
  throw refuse('PICKLE_TENSOR', `${what} from 0 on`, describePickle(value))
}
