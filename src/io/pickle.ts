/**
 * Reads the pickles of torch.save without executing them.
 *
 * A pickle is a program for a stack machine, which in Python can import and call anything. This machine knows the opcodes of
 * protocol 2 that describe data, and the names in `pickle_values.ts`; everything else is an error that names it. Each opcode
 * creates at most one value, so time and memory are linear in the bytes. Nothing traverses the result, which may be cyclic.
 */
import { decodeUtf8 } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { InputError } from '../tensor/errors.ts'
import { callFunction, describePickle, isKind, makeStorage, resolveName } from './pickle_values.ts'
import type { PickleStorage, PickleValue, Refuse } from './pickle_values.ts'

/** The supported opcodes: those that torch.save writes in protocol 2. */
const OP = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
} as const

/** Opcodes that import a name, other than GLOBAL. */
const INST = 0x69
const STACK_GLOBAL = 0x93

/** Opcodes of newer protocols around such a name. */
const SHORT_BINUNICODE = 0x8c
const MEMOIZE = 0x94
const FRAME = 0x95

/** The maximal size of a pickle; that of a model with 10,000 tensors is a hundredth of it. */
export const PICKLE_LIMIT = 64_000_000

/** Makes the storage that a persistent id names. */
type StorageMaker = (id: PickleValue, refuse: Refuse) => PickleStorage

/**
 * The value of a pickle.
 * @throws InputError PICKLE_*; PICKLE_GLOBAL names the import.
 */
export function unpickle(bytes: Uint8Array, name: string): PickleValue {
  const machine = new Machine(bytes, name, 0, makeStorage)
  const value = machine.run()
  machine.checkEnd()
  return value
}

/**
 * The value of the pickle at `start`, and the end of the pickle; others may follow.
 * @throws InputError as `unpickle`.
 */
export function unpickleAt(
  bytes: Uint8Array,
  name: string,
  start: number,
  storageMaker: StorageMaker,
): { value: PickleValue; end: number } {
  const machine = new Machine(bytes, name, start, storageMaker)
  return { value: machine.run(), end: machine.position }
}

/** The maximal number of opcodes: one byte may create a value of 100 bytes. A model of 10,000 tensors has a fifth of them. */
const MAX_STEPS = 2_000_000

/** The position of a MARK on the stack; no value of the data. */
const MARK = Symbol('mark')

class Machine {
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly name: string
  private readonly makeStorage: StorageMaker
  position: number
  /** The position of the current opcode. */
  private start: number
  private steps = 0
  private readonly stack: (PickleValue | typeof MARK)[] = []
  private readonly memo = new Map<number, PickleValue>()

  constructor(bytes: Uint8Array, name: string, start: number, storageMaker: StorageMaker) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.name = name
    this.position = start
    this.start = start
    this.makeStorage = storageMaker
  }

  run(): PickleValue {
    this.readProtocol()
    for (;;) {
      const code = this.nextCode()
      if (code === OP.STOP) return this.finish()
      this.step(code)
    }
  }

  /** @throws InputError PICKLE_TRAILING if something follows the pickle. */
  checkEnd(): void {
    const rest = this.bytes.length - this.position
    if (rest > 0) throw this.refuse('PICKLE_TRAILING', 'the end after STOP', `${rest} bytes more`)
  }

  private readProtocol(): void {
    const begin = this.position
    const marked = this.bytes[this.take(1)] === OP.PROTO
    const protocol = marked ? this.bytes[this.take(1)] : '0 or 1'
    if (protocol === 2) return
    const refused = this.refuse('PICKLE_PROTOCOL', 'protocol 2', `protocol ${protocol}`)
    if (!marked) this.position = begin
    this.lookForImport()
    throw refused
  }

  /**
   * Scans a pickle of another protocol, which is refused in any case, for imports, because an import is the more important
   * error.
   * @throws InputError PICKLE_GLOBAL if there is such a name.
   */
  private lookForImport(): void {
    try {
      for (;;) {
        const code = this.nextCode()
        if (code === FRAME) this.take(8)
        else if (code === MEMOIZE) this.remember(this.memo.size)
        else if (code === SHORT_BINUNICODE) this.push(this.readText(this.bytes[this.take(1)]))
        else if (code === STACK_GLOBAL) this.push(this.resolve(this.nameOnStack()))
        else this.step(code)
      }
    } catch (error) {
      if (!(error instanceof InputError) || error.code === 'PICKLE_GLOBAL') throw error
    }
  }

  private nextCode(): number {
    this.start = this.position
    if (++this.steps > MAX_STEPS) throw this.refuse('PICKLE_LIMIT', `at most ${MAX_STEPS} opcodes`, 'more')
    return this.bytes[this.take(1)]
  }

  private finish(): PickleValue {
    const value = this.pop()
    if (this.stack.length > 0)
      throw this.refuse('PICKLE_STACK', 'one value at the end', `${this.stack.length + 1}`)
    return value
  }

  private step(code: number): void {
    switch (code) {
      case OP.MARK:
        return void this.stack.push(MARK)
      case OP.NONE:
        return this.push(null)
      case OP.NEWTRUE:
        return this.push(true)
      case OP.NEWFALSE:
        return this.push(false)
      case OP.BININT:
        return this.push(this.view.getInt32(this.take(4), true))
      case OP.BININT1:
        return this.push(this.bytes[this.take(1)])
      case OP.BININT2:
        return this.push(this.view.getUint16(this.take(2), true))
      case OP.LONG1:
        return this.push(this.readLong())
      case OP.BINFLOAT:
        return this.push({ kind: 'float', value: this.view.getFloat64(this.take(8)) })
      case OP.BINUNICODE:
        return this.push(this.readText(this.readUint32()))
      case OP.BINPUT:
        return this.remember(this.bytes[this.take(1)])
      case OP.LONG_BINPUT:
        return this.remember(this.readUint32())
      case OP.BINGET:
        return this.recall(this.bytes[this.take(1)])
      case OP.LONG_BINGET:
        return this.recall(this.readUint32())
      case OP.EMPTY_TUPLE:
        return this.push({ kind: 'tuple', items: [] })
      case OP.TUPLE1:
      case OP.TUPLE2:
      case OP.TUPLE3:
        return this.push({ kind: 'tuple', items: this.popMany(code - OP.TUPLE1 + 1) })
      case OP.TUPLE:
        return this.push({ kind: 'tuple', items: this.popToMark() })
      case OP.EMPTY_LIST:
        return this.push({ kind: 'list', items: [] })
      case OP.APPEND:
        return this.append(this.popMany(1))
      case OP.APPENDS:
        return this.append(this.popToMark())
      case OP.EMPTY_DICT:
        return this.push({ kind: 'dict', items: new Map(), ordered: false })
      case OP.SETITEM:
        return this.setItems(this.popMany(2))
      case OP.SETITEMS:
        return this.setItems(this.popToMark())
      case OP.GLOBAL:
        return this.push(this.resolve(this.readImport()))
      case OP.BINPERSID:
        return this.push(this.makeStorage(this.pop(), this.refuse))
      case OP.REDUCE:
        return this.call()
      case OP.BUILD:
        return this.setState(this.pop())
      default:
        throw this.refuseOpcode(code)
    }
  }

  // ---- Reading ------------------------------------------------------------------------------------------------

  /** Advances by `length` bytes; returns where they begin. */
  private take(length: number): number {
    const at = this.position
    if (length > this.bytes.length - at) {
      throw this.refuse('PICKLE_TRUNCATED', `${length} bytes`, `${this.bytes.length - at} before the end`)
    }
    this.position += length
    return at
  }

  private readUint32(): number {
    return this.view.getUint32(this.take(4), true)
  }

  private readText(length: number): string {
    const at = this.take(length)
    const text = decodeUtf8(this.bytes.subarray(at, at + length))
    if (text === null) throw this.refuse('PICKLE_TEXT', 'UTF-8 text', 'other bytes')
    return text
  }

  /** A signed little-endian integer of up to eight bytes. */
  private readLong(): number {
    const length = this.bytes[this.take(1)]
    if (length > 8) throw this.refuse('PICKLE_INTEGER', 'an integer of at most 8 bytes', `${length}`)
    const at = this.take(length)
    let value = 0n
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i])
    const signed = BigInt.asIntN(8 * length, value)
    const number = Number(signed)
    if (!Number.isSafeInteger(number))
      throw this.refuse('PICKLE_INTEGER', 'an integer within 2^53', `${signed}`)
    return number
  }

  /** A line that ends with "\n"; no name is longer than 256 bytes. */
  private readLine(): string {
    const end = this.bytes.subarray(this.position, this.position + 257).indexOf(0x0a)
    if (end < 0) throw this.refuse('PICKLE_TEXT', 'a name that ends with a line feed', 'none')
    const line = this.readText(end)
    this.take(1)
    return line
  }

  private readImport(): string {
    return `${this.readLine()}.${this.readLine()}`
  }

  private resolve(name: string): PickleValue {
    const value = resolveName(name)
    if (value !== null) return value
    throw this.refuseGlobal(name)
  }

  // ---- The stack ----------------------------------------------------------------------------------------------

  private push(value: PickleValue): void {
    this.stack.push(value)
  }

  private pop(): PickleValue {
    return this.popMany(1)[0]
  }

  private popMany(count: number): PickleValue[] {
    const values = this.stack.splice(Math.max(0, this.stack.length - count))
    if (values.length === count && !values.includes(MARK)) return values as PickleValue[]
    throw this.refuse('PICKLE_STACK', `${count} values on the stack`, 'fewer')
  }

  private popToMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK)
    if (mark < 0) throw this.refuse('PICKLE_STACK', 'a mark on the stack', 'none')
    return this.stack.splice(mark).slice(1) as PickleValue[]
  }

  private top(): PickleValue {
    const value = this.stack.at(-1)
    if (value === undefined || value === MARK)
      throw this.refuse('PICKLE_STACK', 'a value on the stack', 'none')
    return value
  }

  private remember(key: number): void {
    this.memo.set(key, this.top())
  }

  private recall(key: number): void {
    const value = this.memo.get(key)
    if (value === undefined) throw this.refuse('PICKLE_MEMO', `memo entry ${key}`, 'none')
    this.push(value)
  }

  // ---- Containers ---------------------------------------------------------------------------------------------

  private append(values: PickleValue[]): void {
    const list = this.top()
    if (!isKind(list, 'list')) throw this.refuse('PICKLE_ITEMS', 'a list to append to', describePickle(list))
    for (const value of values) list.items.push(value)
  }

  private call(): void {
    const [callee, argument] = this.popMany(2)
    this.push(callFunction(callee, argument, this.refuse))
  }

  private setItems(values: PickleValue[]): void {
    const dict = this.top()
    if (!isKind(dict, 'dict'))
      throw this.refuse('PICKLE_ITEMS', 'a dict to put items in', describePickle(dict))
    if (values.length % 2 === 1)
      throw this.refuse('PICKLE_ITEMS', 'keys and values in pairs', `${values.length} values`)
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i]
      if (typeof key !== 'string') throw this.refuse('PICKLE_KEY', 'keys of text', describePickle(key))
      if (dict.items.has(key)) throw this.refuse('PICKLE_DUPLICATE', `key ${quote(key)} once`, 'it twice')
      dict.items.set(key, values[i + 1])
    }
  }

  /** BUILD sets the attributes of an object: torch writes it for the `_metadata` of a state dict, which is ignored. */
  private setState(state: PickleValue): void {
    const target = this.top()
    if (isKind(target, 'dict') && target.ordered && isKind(state, 'dict')) return
    const got = `${describePickle(state)} for ${describePickle(target)}`
    throw this.refuse('PICKLE_BUILD', 'a dict of attributes for an OrderedDict', got)
  }

  // ---- Refusals -----------------------------------------------------------------------------------------------

  private readonly refuse: Refuse = (code, expected, got) =>
    refusal(code, `${this.name} at byte ${this.start}`, expected, got, { byteOffset: this.start })

  private refuseGlobal(name: string): InputError {
    return this.refuse('PICKLE_GLOBAL', 'only the types of tensors', quote(name))
  }

  private refuseOpcode(code: number): InputError {
    if (code === INST) throw this.refuseGlobal(this.readImport())
    if (code === STACK_GLOBAL) throw this.refuseGlobal(this.nameOnStack())
    return this.refuse('PICKLE_OPCODE', 'an opcode that torch.save writes', `0x${code.toString(16)}`)
  }

  /** The name that STACK_GLOBAL would import: module and name are the two texts on the stack. */
  private nameOnStack(): string {
    return this.popMany(2)
      .map((part) => (typeof part === 'string' ? part : '?'))
      .join('.')
  }
}
