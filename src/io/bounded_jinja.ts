/**
 * Renders Jinja templates of strangers: `@huggingface/jinja` with bounds on time, memory and nesting.
 *
 * A template comes with a model, so it is untrusted input. The library runs no code of it, but a loop, a
 * macro or a list that contains itself twice may take any time. Here every step and every character of a
 * string takes work from a budget, and an operation whose result can be longer than its parts (replace,
 * join, indent, tojson) is weighed before it runs. So the bounds do not depend on the machine: a template
 * renders everywhere or nowhere.
 *
 * `strip('...')` and its two sides strip the characters that they are given, as in Python; the library strips white space whatever
 * it is given.
 *
 * There is no clock: `strftime_now` tells a fixed date, so that equal chats give equal ids.
 */
import * as library from '@huggingface/jinja'
import { checkSource } from './chat_template.ts'
import { quote, refusal } from './refusal.ts'

/** The longest run of spaces in it: the library takes quadratic time for one. */
const MAX_SPACES = 1000
/** The largest value, with all that it contains: characters and items. It bounds the output too. */
const MAX_VALUE = 2 ** 22
/** The budget: a character costs 1, a step STEP. It lasts for about a second. */
const MAX_WORK = 2 ** 26
const STEP = 256
/** What an object costs that is made of a character or an item. */
const ITEM = 64
/** The deepest list or object. */
const MAX_DEPTH = 64
/** The longest `range`. */
const MAX_RANGE = 10_000
/** What `strftime_now` tells: the date that the templates of Llama 3 fall back on. */
const TODAY = new Date(Date.UTC(2024, 6, 26))

/** A node of a template. */
interface AnyNode {
  readonly type: string
  readonly [part: string]: unknown
}

/** A value of a template. */
interface Value {
  readonly type: string
  readonly value: unknown
}

interface Scope {
  set(name: string, value: unknown): void
}

/** The part of the library that is used here; its own types are not resolved by every compiler. */
interface JinjaLibrary {
  readonly Environment: new () => Scope
  readonly Interpreter: new (scope: Scope) => {
    run(program: AnyNode): Value
    evaluate(node: AnyNode | undefined, scope: Scope): Value
    evaluateBlock(nodes: readonly AnyNode[], scope: Scope): Value
  }
  parse(tokens: unknown): AnyNode
  tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): unknown
}

const { Environment, Interpreter, parse, tokenize } = library as unknown as JinjaLibrary

/** Work, length or depth beyond a bound. */
class LimitError extends Error {}
/** `raise_exception` of the template. */
class RaisedError extends Error {}

/**
 * Renders a template.
 * @param variables plain data
 * @throws InputError CHAT_TEMPLATE_SYNTAX, CHAT_TEMPLATE_LIMIT; CHAT_TEMPLATE_REFUSED with the words of
 *   `raise_exception`; CHAT_TEMPLATE_RUN for an operation that fails or is not supported
 */
export function renderTemplate(source: string, variables: Readonly<Record<string, unknown>>): string {
  const subject = 'chat template'
  checkSource(source)
  if (new RegExp(`\\s{${MAX_SPACES}}`).test(source))
    throw refusal('CHAT_TEMPLATE_LIMIT', subject, `less than ${MAX_SPACES} spaces in a row`, 'more')
  let program
  try {
    program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
  } catch (error) {
    if (isStackOverflow(error)) throw tooDeep()
    throw refusal('CHAT_TEMPLATE_SYNTAX', subject, 'a Jinja template', wordsOf(error), { cause: error })
  }
  try {
    const value = new BoundedInterpreter(globals(variables), source.length).run(program)
    return String(value.value)
  } catch (error) {
    if (isStackOverflow(error)) throw tooDeep()
    if (error instanceof LimitError)
      throw refusal('CHAT_TEMPLATE_LIMIT', subject, error.message, 'more', { cause: error })
    if (error instanceof RaisedError)
      throw refusal('CHAT_TEMPLATE_REFUSED', 'messages', 'what the chat template accepts', wordsOf(error), {
        cause: error,
      })
    throw refusal('CHAT_TEMPLATE_RUN', subject, 'operations that succeed', wordsOf(error), { cause: error })
  }
}

function tooDeep(): Error {
  return refusal('CHAT_TEMPLATE_LIMIT', 'chat template', 'less nesting', 'more')
}

function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError
}

/** The message of an error of the library or the template, which is untrusted too. */
function wordsOf(error: unknown): string {
  const { message } = error as Error
  return message === '' ? 'an error' : `the error ${quote(message)}`
}

/** The variables of a template: those given, and the functions of transformers. */
function globals(variables: Readonly<Record<string, unknown>>): Scope {
  const environment = new Environment()
  const all: Readonly<Record<string, unknown>> = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (message: unknown) => {
      throw new RaisedError(String(message))
    },
    range: boundedRange,
    strftime_now: (format: unknown) => formatDate(TODAY, String(format)),
    ...variables,
  }
  for (const [name, value] of Object.entries(all)) environment.set(name, value)
  return environment
}

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  const count = Math.ceil((to - from) / step)
  if (![from, to, step].every(Number.isInteger) || step === 0)
    throw new Error('range() takes whole numbers, and a step other than 0')
  if (count > MAX_RANGE) throw new LimitError(`a range of at most ${MAX_RANGE} numbers`)
  return Array.from({ length: Math.max(0, count) }, (_, i) => from + i * step)
}

/** Python's strftime, in English and UTC. */
function formatDate(date: Date, format: string): string {
  const words = (options: Intl.DateTimeFormatOptions): string =>
    new Intl.DateTimeFormat('en-US', { ...options, timeZone: 'UTC' }).format(date)
  const two = (number: number): string => `${number}`.padStart(2, '0')
  return format.replace(/%[YmdbBaAHMS%]/g, (sign) => {
    switch (sign) {
      case '%Y':
        return `${date.getUTCFullYear()}`
      case '%m':
        return two(date.getUTCMonth() + 1)
      case '%d':
        return two(date.getUTCDate())
      case '%b':
        return words({ month: 'short' })
      case '%B':
        return words({ month: 'long' })
      case '%a':
        return words({ weekday: 'short' })
      case '%A':
        return words({ weekday: 'long' })
      case '%%':
        return '%'
      default:
        return '00'
    }
  })
}

/** The ends that methods strip. */
const STRIPPED: ReadonlyMap<string, { readonly left: boolean; readonly right: boolean }> = new Map([
  ['strip', { left: true, right: true }],
  ['lstrip', { left: true, right: false }],
  ['rstrip', { left: false, right: true }],
])

/** The size of a value, with repetitions. */
interface Size {
  readonly chars: number
  readonly items: number
  readonly depth: number
  /** Whether it contains a namespace, which may change. */
  readonly changes: boolean
}

const FLAT: Size = { chars: 0, items: 1, depth: 0, changes: false }

/** An evaluated node takes the place of a node, so that it is evaluated once and can be weighed. */
const constant = (value: Value): AnyNode => ({ type: 'Constant', value })

const textOf = (value: Value | undefined): string | null =>
  value?.type === 'StringValue' ? (value.value as string) : null

class BoundedInterpreter extends Interpreter {
  readonly #sourceLength: number
  readonly #sizes = new WeakMap<object, Size>()
  #work = 0
  /** The callee that is being evaluated: a method is used in no other way. */
  #callee: AnyNode | null = null

  constructor(environment: Scope, sourceLength: number) {
    super(environment)
    this.#sourceLength = sourceLength
  }

  override evaluate(node: AnyNode | undefined, environment: Scope): Value {
    if (node?.type === 'Constant') return node.value as Value
    // The library walks through the body of a macro each time it is declared.
    this.#spend(node?.type === 'Macro' || node?.type === 'CallStatement' ? 4 * this.#sourceLength : STEP)
    const ready = node && this.#weighed(node, environment)
    const isReady = ready?.type === 'Constant'
    const value = isReady ? (ready.value as Value) : super.evaluate(ready, environment)
    if (ready?.type === 'MemberExpression' && value.type === 'FunctionValue' && ready !== this.#callee)
      throw new Error('a method is expected to be called at once')
    this.#expectSmall(value)
    return value
  }

  /** The node, with its parts evaluated where the result may be larger, or take longer, than they. */
  #weighed(node: AnyNode, environment: Scope): AnyNode {
    const value = (part: unknown): Value => this.evaluate(part as AnyNode, environment)
    switch (node.type) {
      case 'BinaryExpression': {
        const { value: operator } = node.operator as { value: string }
        if (operator === 'and' || operator === 'or') return node
        const [left, right] = [value(node.left), value(node.right)]
        // A list beside a text is made text.
        for (const side of [left, right]) this.#expectText(side)
        if (operator === 'in' || operator === 'not in') this.#spendSearch(textOf(right), textOf(left))
        return { ...node, left: constant(left), right: constant(right) }
      }
      case 'For': {
        // Each round costs a few steps before its body is evaluated.
        const iterable = node.iterable as AnyNode
        const isSelect = iterable.type === 'SelectExpression'
        const list = value(isSelect ? iterable.lhs : iterable)
        this.#spend(2 * STEP * this.#lengthOf(list))
        return { ...node, iterable: isSelect ? { ...iterable, lhs: constant(list) } : constant(list) }
      }
      case 'FilterStatement':
        return this.#weighed(
          { type: 'FilterExpression', operand: { type: 'Program', body: node.body }, filter: node.filter },
          environment,
        )
      case 'FilterExpression': {
        const operand = value(node.operand)
        const filter = node.filter as AnyNode
        const isCall = filter.type === 'CallExpression'
        const args = isCall ? this.#arguments(filter.args as AnyNode[], value) : []
        this.#expectResult(String(((isCall ? filter.callee : filter) as AnyNode).value), operand, args)
        return { ...node, operand: constant(operand), filter: isCall ? { ...filter, args } : filter }
      }
      case 'CallExpression': {
        const args = this.#arguments(node.args as AnyNode[], value)
        const callee = node.callee as AnyNode
        if (callee.type !== 'MemberExpression') return { ...node, args }
        const object = value(callee.object)
        const property = callee.property as AnyNode
        const isComputed = callee.computed === true && property.type !== 'SliceExpression'
        const name = isComputed ? value(property) : null
        const method = String(name ? name.value : property.value)
        this.#expectResult(method, object, args)
        const stripped = this.#strip(method, object, args)
        if (stripped) return constant(stripped)
        this.#callee = { ...callee, object: constant(object), ...(name && { property: constant(name) }) }
        return { ...node, callee: this.#callee, args }
      }
      case 'MemberExpression': {
        if ((node.property as AnyNode).type !== 'SliceExpression') return node
        const object = value(node.object)
        this.#spendItems(object)
        return { ...node, object: constant(object) }
      }
      default:
        return node
    }
  }

  /** A text without some characters at its ends; null for another method, or without the characters. */
  #strip(method: string, object: Value, args: readonly AnyNode[]): Value | null {
    const text = textOf(object)
    const [characters] = args.flatMap(valuesOf)
    const sides = STRIPPED.get(method)
    if (sides === undefined || text === null || args.length !== 1 || typeof characters !== 'string')
      return null
    this.#spend(characters.length + text.length)
    const strips = new Set(characters)
    const letters = [...text]
    let [from, to] = [0, letters.length]
    if (sides.left) while (from < to && strips.has(letters[from])) from++
    if (sides.right) while (to > from && strips.has(letters[to - 1])) to--
    const Text = object.constructor as new (value: string) => Value
    return new Text(letters.slice(from, to).join(''))
  }

  /** The values of statements as one text; a list among them is written as JSON. */
  override evaluateBlock(nodes: readonly AnyNode[], environment: Scope): Value {
    const values = nodes.map((node) => {
      const value = this.evaluate(node, environment)
      this.#expectText(value)
      return constant(value)
    })
    return super.evaluateBlock(values, environment)
  }

  /** Weighs what a list or an object is as text, before it is made one. */
  #expectText(value: Value): void {
    if (value.type === 'StringValue') return
    const { chars, items, depth } = this.#sizeOf(value)
    if (items > 1) this.#expectLength(6 * chars + items * (8 + 2 * depth))
  }

  /** Each character or item of a value is made an object of its own. */
  #spendItems(value: Value): void {
    this.#spend(ITEM * ((textOf(value)?.length ?? 0) + this.#lengthOf(value)))
  }

  /** Arguments with their values in place; `selectattr` needs its literals as they are. */
  #arguments(args: readonly AnyNode[], value: (part: unknown) => Value): AnyNode[] {
    return args.map((arg) => {
      if (arg.type === 'StringLiteral') return arg
      if (arg.type === 'KeywordArgumentExpression') return { ...arg, value: constant(value(arg.value)) }
      if (arg.type === 'SpreadExpression' || arg.type === 'KeywordSpreadExpression')
        return { ...arg, argument: constant(value(arg.argument)) }
      return constant(value(arg))
    })
  }

  /** Refuses an operation whose result is too large, before it runs. */
  #expectResult(name: string, operand: Value, args: readonly AnyNode[]): void {
    const given = args.flatMap(valuesOf)
    const texts = given.filter((one) => typeof one === 'string')
    const longest = Math.max(0, ...texts.map(({ length }) => length))
    const most = Math.max(0, ...given.filter((one) => typeof one === 'number').map(Math.abs))
    const text = textOf(operand)
    const { chars, items, depth } = this.#sizeOf(operand)
    switch (name) {
      case 'replace': {
        this.#spendSearch(text, texts[0] ?? '')
        return this.#expectLength(chars + countOf(text ?? '', texts[0] ?? '') * longest)
      }
      case 'join':
        return this.#expectLength(chars + (items + chars) * (4 + longest))
      case 'indent':
        return this.#expectLength(chars + countOf(text ?? '', '\n') * Math.max(4, most, longest) + most)
      case 'tojson':
        return this.#expectLength(6 * chars + items * (8 + 2 * longest + most * (depth + 1)))
      case 'split':
        this.#spend(ITEM * countOf(text ?? '', texts[0] ?? ' '))
        return this.#spendSearch(text, texts[0] ?? '')
      case 'string':
        return this.#expectText(operand)
      case 'list':
      case 'items':
      case 'reverse':
      case 'map':
      case 'select':
      case 'reject':
      case 'selectattr':
      case 'rejectattr':
        return this.#spendItems(operand)
      case 'startswith':
      case 'endswith':
        return texts.forEach((part) => this.#spendSearch(text, part))
      case 'sort':
      case 'dictsort':
      case 'unique':
        // Of the order of n log n comparisons.
        return this.#spend(32 * (chars + items))
      default:
    }
  }

  #expectLength(length: number): void {
    if (!(length <= MAX_VALUE)) throw new LimitError(`at most ${MAX_VALUE} characters in a value`)
    this.#spend(length)
  }

  #expectSmall(value: Value): void {
    const { chars, items } = this.#sizeOf(value)
    if (chars + items > MAX_VALUE) throw new LimitError(`at most ${MAX_VALUE} characters in a value`)
    // A list is passed on without a copy.
    this.#spend(value.type === 'StringValue' ? chars : this.#lengthOf(value) / 8)
  }

  #lengthOf({ value }: Value): number {
    return Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0
  }

  /** Searching takes the product of both lengths at worst. */
  #spendSearch(text: string | null, part: string | null): void {
    this.#spend(((text?.length ?? 0) * (part?.length ?? 0)) / 64)
  }

  #spend(work: number): void {
    this.#work += work
    if (this.#work > MAX_WORK) throw new LimitError('a template that renders within its budget of work')
  }

  #sizeOf(value: Value, level = 0): Size {
    if (level > MAX_DEPTH) throw new LimitError(`at most ${MAX_DEPTH} lists in each other`)
    if (value.type === 'StringValue') return { ...FLAT, chars: (value.value as string).length }
    const inner: unknown = value.value
    const parts = Array.isArray(inner) ? inner : inner instanceof Map ? [...inner.values()] : null
    if (parts === null) return FLAT
    const known = this.#sizes.get(value)
    if (known) return known
    this.#spend(parts.length)
    let [chars, items, depth] = [0, 1, 0]
    let changes = value.type === 'NamespaceValue'
    if (inner instanceof Map) for (const key of inner.keys()) chars += String(key).length
    for (const part of parts as Value[]) {
      const size = this.#sizeOf(part, level + 1)
      chars += size.chars
      items += size.items
      depth = Math.max(depth, size.depth + 1)
      changes ||= size.changes
    }
    const size = { chars, items, depth, changes }
    if (!changes) this.#sizes.set(value, size)
    return size
  }
}

/** How often a part occurs; an empty one is between all characters. */
function countOf(text: string, part: string): number {
  if (part === '') return text.length + 1
  let count = 0
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) count++
  return count
}

/** The plain values of an evaluated argument, unpacked. */
function valuesOf(arg: AnyNode): unknown[] {
  if (arg.type === 'StringLiteral') return [arg.value]
  if (arg.type === 'KeywordArgumentExpression') return valuesOf(arg.value as AnyNode)
  if (arg.type === 'SpreadExpression' || arg.type === 'KeywordSpreadExpression')
    return valuesOf(arg.argument as AnyNode)
  const { value } = (arg as unknown as { value: Value }).value
  const parts = Array.isArray(value) ? value : value instanceof Map ? [...value.values()] : null
  return parts === null ? [value] : parts.map((part: Value) => part.value)
}
