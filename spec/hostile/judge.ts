/**
 * Judges one reading. Runs where the reader runs: in a thread that can be ended (cell_thread.ts).
 */
import { createHash } from 'node:crypto'
import { ShadowError } from '../../src/tensor/errors.ts'
import type { Reader } from './reader.ts'

/** What became of an input. */
export type Outcome =
  /** It was read; `value` is a hash of all that was read. */
  | { readonly kind: 'read'; readonly value: string }
  /** It was refused by a typed error. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** A bug, in words that are the same for the same bug. */
  | { readonly kind: 'fault'; readonly what: string }

/** Memory a reader may ask for in arrays of bytes: so many times the input, and a constant. */
const MEMORY_FACTOR = 64
const MEMORY_CONSTANT = 64e6

/** Reads the input twice, or once, and looks at what else happened. */
export async function judge(
  reader: Reader,
  bytes: Uint8Array,
  folder: string,
  once = false,
): Promise<Outcome> {
  const before = bytes.slice()
  const first = await attempt(reader, bytes, folder)
  if (Buffer.compare(before, bytes) !== 0) return { kind: 'fault', what: 'the input was changed' }
  if (first.kind === 'fault' || once) return first
  const second = await attempt(reader, bytes, folder)
  return answerIn(first) === answerIn(second) ? first : { kind: 'fault', what: 'two answers' }
}

/** What was read, or why nothing was; the words may name moments. */
function answerIn(outcome: Outcome): string {
  return outcome.kind === 'read' ? outcome.value : outcome.kind === 'refused' ? outcome.code : outcome.what
}

async function attempt(reader: Reader, bytes: Uint8Array, folder: string): Promise<Outcome> {
  meter.begin(MEMORY_FACTOR * bytes.length + MEMORY_CONSTANT)
  const outcome = await outcomeOf(reader, bytes, folder)
  const asked = meter.end()
  const poisoned = poisonedPrototype()
  if (poisoned !== null) return { kind: 'fault', what: `${poisoned} was changed` }
  return asked === null ? outcome : { kind: 'fault', what: 'memory that the input does not explain' }
}

async function outcomeOf(reader: Reader, bytes: Uint8Array, folder: string): Promise<Outcome> {
  try {
    return { kind: 'read', value: hashOf(await reader.read(bytes, folder)) }
  } catch (error) {
    if (!(error instanceof ShadowError)) return { kind: 'fault', what: describe(error) }
    const { code, message } = error
    const fault = faultOfRefusal(error, reader.usage ?? [])
    return fault === null ? { kind: 'refused', code, message } : { kind: 'fault', what: `${code}: ${fault}` }
  }
}

/** Texts that a hash is given at once: a call for each would take most of the time. */
const TEXT_AT_ONCE = 2 ** 14

/** The hash of a value: plain data, maps and arrays of any kind. The same values have the same hash. */
function hashOf(whole: unknown): string {
  const hash = createHash('sha1')
  let text = ''
  const add = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) {
      hash.update(`${text}${value.constructor.name} ${value.byteLength};`)
      text = ''
      hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    } else if (typeof value === 'object' && value !== null) {
      const items = Array.isArray(value) ? value : value instanceof Map ? [...value] : Object.entries(value)
      text += `${Array.isArray(value) ? 'list' : 'object'} ${items.length};`
      for (const item of items) add(item)
    } else text += `${typeof value} ${Object.is(value, -0) ? '-0' : String(value)};`
    if (text.length < TEXT_AT_ONCE) return
    hash.update(text)
    text = ''
  }
  add(whole)
  return hash.update(text).digest('hex')
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${typeof error}`
  // Without numbers and names, which differ from one input to the next.
  return `${error.name}: ${error.message
    .split('\n')[0]
    .replace(/\d+|'[^']*'|"[^"]*"/g, '*')
    .slice(0, 120)}`
}

/**
 * What is wrong with a typed error: one line "name: expected X, got Y" with a code, of the kind that a file is refused
 * with. Null if nothing is.
 * @param usage codes of wrong use that are right here
 */
export function faultOfRefusal(error: ShadowError, usage: readonly string[] = []): string | null {
  const { code, message, exitCode } = error
  if (!/^[A-Z][A-Z0-9_]+$/.test(code)) return 'a code that is none'
  if (exitCode !== 3 && !usage.includes(code)) return `exit code ${exitCode}`
  if (!/: expected /.test(message)) return 'no "expected"'
  // One line, and no escapes or marks of direction out of a file that a terminal would obey.
  if (/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u.test(message)) return 'control marks in its message'
  return message.length < 1000 ? null : 'a message that is too long'
}

// ---- Prototypes -------------------------------------------------------------------------------------------------

const watched = {
  Object,
  Array,
  Function,
  String,
  Number,
  Boolean,
  Map,
  Set,
  Promise,
  Error,
  Uint8Array,
  RegExp,
}
const known = new Map(Object.entries(watched).map(([name, { prototype }]) => [name, shapeOf(prototype)]))

function shapeOf(prototype: object): string {
  return Reflect.ownKeys(prototype).map(String).join()
}

/** The name of a built-in prototype that has other properties than at the start; null if none has. */
function poisonedPrototype(): string | null {
  for (const [name, { prototype }] of Object.entries(watched))
    if (shapeOf(prototype) !== known.get(name)) return `the prototype of ${name}`
  return null
}

// ---- Memory -----------------------------------------------------------------------------------------------------

/** Counts bytes of typed arrays as they are made: what lies outside of the heap, whose limit is the thread's. */
const meter = {
  limit: Infinity,
  asked: 0,
  begin(limit: number): void {
    this.limit = limit
    this.asked = 0
  },
  /** What was asked for, if that was too much. */
  end(): number | null {
    const { asked, limit } = this
    this.limit = Infinity
    return asked > limit ? asked : null
  },
  ask(bytes: number): void {
    this.asked += bytes
    if (this.asked > this.limit) throw new RangeError('more memory than the input explains')
  },
}

/**
 * Replaces the constructors of typed arrays by those that count. To be called before a reader's module is loaded, in a
 * thread of its own.
 */
export function meterMemory(): void {
  const arrays = [
    'Uint8Array',
    'Int32Array',
    'Float32Array',
    'Float64Array',
    'Uint16Array',
    'BigInt64Array',
  ] as const
  for (const name of arrays) {
    const original = globalThis[name] as unknown as { BYTES_PER_ELEMENT: number } & (new (
      ...args: never[]
    ) => object)
    const counted: object = new Proxy(original, {
      construct(target, args: unknown[], self: unknown): object {
        if (typeof args[0] === 'number') meter.ask(args[0] * target.BYTES_PER_ELEMENT)
        return Reflect.construct(target, args, (self === counted ? target : self) as never) as object
      },
    })
    Object.defineProperty(globalThis, name, { value: counted, configurable: true, writable: true })
  }
}
