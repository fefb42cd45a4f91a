/**
 * Mutants of a source file: one small change each, derived from its syntax tree.
 *
 * Types, imports, strings, templates, `throw` statements and arguments of errors are never changed. A mutant may break the
 * types; the type check decides which ones are valid.
 */
import { type Module, type Node, place } from '../../spec/harness/syntax.ts'

/** The kinds of changes. */
export const kinds = [
  'boundary',
  'equality',
  'arithmetic',
  'rounding',
  'extreme',
  'logic',
  'negation',
  'flag',
  'constant',
  'bound',
  'property dropped',
  'spread dropped',
  'argument dropped',
  'arguments swapped',
  'default ignored',
  'exit removed',
  'order',
] as const

/** A kind of change. */
export type Kind = (typeof kinds)[number]

/** One change of one source. */
export interface Mutant {
  /** The path of the source from the root. */
  readonly file: string
  readonly line: number
  /** The text of that line without indentation. With `before` and `after` it locates the mutant when lines have moved. */
  readonly context: string
  readonly kind: Kind
  /** The offset of `before`, the text that is replaced by `after`. */
  readonly start: number
  readonly before: string
  readonly after: string
}

interface Edit {
  readonly kind: Kind
  readonly start: number
  readonly end: number
  readonly after: string
}

/** Operators and their replacements. */
const operators: Readonly<Record<string, readonly [Kind, string]>> = {
  '<': ['boundary', '<='],
  '<=': ['boundary', '<'],
  '>': ['boundary', '>='],
  '>=': ['boundary', '>'],
  '===': ['equality', '!=='],
  '!==': ['equality', '==='],
  '+': ['arithmetic', '-'],
  '-': ['arithmetic', '+'],
  '*': ['arithmetic', '/'],
  '/': ['arithmetic', '*'],
  '+=': ['arithmetic', '-='],
  '-=': ['arithmetic', '+='],
  '&&': ['logic', '||'],
  '||': ['logic', '&&'],
}

/** Functions of Math and their replacements. */
const functions: Readonly<Record<string, readonly [Kind, string]>> = {
  floor: ['rounding', 'ceil'],
  ceil: ['rounding', 'floor'],
  round: ['rounding', 'trunc'],
  trunc: ['rounding', 'round'],
  min: ['extreme', 'max'],
  max: ['extreme', 'min'],
}

/** Functions whose result does not depend on the order of arguments. */
const commutative = /^(Math\.(min|max|imul|hypot)|Object\.is)$/

/** All mutants of a source file, in the order of their offsets. */
export function deriveMutants(module: Module): Mutant[] {
  const { path: file, text } = module
  const edits: Edit[] = []
  const visit = (node: Node, parent: Node | null): void => {
    if (isKept(node)) return
    edits.push(...editsOf(node, parent, text))
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, node)
    }
  }
  for (const statement of module.body) visit(statement, null)
  const lines = text.split('\n')
  return edits
    .sort((a, b) => a.start - b.start || a.end - b.end)
    .map(({ kind, start, end, after }) => {
      const line = Number(place(module, start).split(':').at(-1))
      const before = text.slice(start, end)
      return { file, line, context: lines[line - 1].trim(), kind, start, before, after }
    })
}

/**
 * The source text with the mutant planted.
 * @throws Error if the text that the mutant replaces is not at its offset
 */
export function plantMutant(text: string, { file, start, before, after }: Mutant): string {
  if (!text.startsWith(before, start)) throw new Error(`${file}: expected ${before} at ${start}`)
  return text.slice(0, start) + after + text.slice(start + before.length)
}

/** The same mutant in a newer source: the nearest one with the same change in the same line; null if there is none. */
export function findAgain(mutant: Mutant, now: readonly Mutant[]): Mutant | null {
  const same = now.filter(({ kind, before, after, context }) => {
    return (
      kind === mutant.kind && before === mutant.before && after === mutant.after && context === mutant.context
    )
  })
  const distance = ({ line, start }: Mutant): number =>
    Math.abs(line - mutant.line) + Math.abs(start - mutant.start) / 1e6
  return same.sort((a, b) => distance(a) - distance(b))[0] ?? null
}

const expressionsWithTypes = ['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression']

/** Whether a node and its children are left unchanged. */
function isKept(node: Node): boolean {
  const { type } = node
  if (type.startsWith('TS')) return !expressionsWithTypes.includes(type)
  if (/^(ImportDeclaration|ExportAllDeclaration|ImportExpression|ThrowStatement|TemplateLiteral)$/.test(type))
    return true
  return type === 'NewExpression' && String((node.callee as Node).name).endsWith('Error')
}

function editsOf(node: Node, parent: Node | null, text: string): Edit[] {
  const textOf = ({ start, end }: Node): string => text.slice(start, end)
  const replace = (kind: Kind, { start, end }: Pick<Node, 'start' | 'end'>, after: string): Edit[] => [
    { kind, start, end, after },
  ]
  switch (node.type) {
    case 'BinaryExpression':
    case 'LogicalExpression':
    case 'AssignmentExpression': {
      const [left, right] = [node.left as Node, node.right as Node]
      const operator = String(node.operator)
      if (operator === '??') return replace('default ignored', node, textOf(right))
      if (!Object.hasOwn(operators, operator) || [left, right].some(isText)) return []
      const [kind, other] = operators[operator]
      const start = text.indexOf(operator, left.end)
      return replace(kind, { start, end: start + operator.length }, other)
    }
    case 'UnaryExpression':
      return node.operator === '!' ? replace('negation', node, textOf(node.argument as Node)) : []
    case 'Literal':
      return literalEdits(node, parent, text)
    case 'IfStatement':
      return node.alternate === null && leaves(node.consequent as Node)
        ? replace('exit removed', node, ';')
        : []
    case 'ArrayExpression':
      return dropped(
        'spread dropped',
        (node.elements as (Node | null)[]).filter(isNode).filter(isSpread),
        node,
      )
    case 'ObjectExpression': {
      const properties = node.properties as Node[]
      const passedOn = /^(CallExpression|NewExpression|ReturnStatement|ArrowFunctionExpression)$/
      const given = passedOn.test(parent?.type ?? '') || parent?.type === 'ParenthesizedExpression'
      const plain = given ? properties.filter((property) => !isSpread(property)) : []
      return [
        ...dropped('property dropped', plain, node),
        ...dropped('spread dropped', properties.filter(isSpread), node),
      ]
    }
    case 'CallExpression':
    case 'NewExpression':
      return callEdits(node, text)
    default:
      return []
  }
}

/** Increments an integer and inverts a boolean. */
function literalEdits({ value, start, end }: Node, parent: Node | null, text: string): Edit[] {
  if (typeof value === 'boolean') return [{ kind: 'flag', start, end, after: String(!value) }]
  if (typeof value !== 'number' || !Number.isInteger(value)) return []
  // The base of a power and a bit mask are not bounds.
  if (parent?.operator === '**' || /^0x/i.test(text.slice(start, end))) return []
  return [{ kind: 'constant', start, end, after: String(value + 1) }]
}

function callEdits(call: Node, text: string): Edit[] {
  const textOf = ({ start, end }: Node): string => text.slice(start, end)
  const callee = call.callee as Node
  const name = textOf(callee)
  const args = call.arguments as Node[]
  const last = args.at(-1)
  const edits: Edit[] = []
  const [, mathName] = /^Math\.(\w+)$/.exec(name) ?? []
  if (mathName && Object.hasOwn(functions, mathName)) {
    const [kind, other] = functions[mathName]
    edits.push({ kind, start: callee.start, end: callee.end, after: `Math.${other}` })
  }
  if (/\.(sort|toSorted)$/.test(name)) return last ? [...edits, ...orderEdits(last, text)] : edits
  if (last && !mathName) edits.push(...dropped('argument dropped', [last], call, args))
  if (/\.(slice|subarray|substring)$/.test(name)) {
    for (const arg of args.filter(({ type }) => type !== 'Literal'))
      edits.push({ kind: 'bound', start: arg.start, end: arg.end, after: `${textOf(arg)} + 1` })
  }
  args.slice(1).forEach((second, i) => {
    const first = args[i]
    const unlike = [first, second].some(
      (arg) => isFunction(arg) || isText(arg) || arg.type === 'ObjectExpression',
    )
    if (commutative.test(name) || unlike || textOf(first) === textOf(second)) return
    const after = textOf(second) + text.slice(first.end, second.start) + textOf(first)
    edits.push({ kind: 'arguments swapped', start: first.start, end: second.end, after })
  })
  return edits
}

/** A comparator with swapped parameters, and no comparator. */
function orderEdits(comparator: Node, text: string): Edit[] {
  const { start, end } = comparator
  const edits: Edit[] = [{ kind: 'order', start, end, after: '' }]
  const params = comparator.type === 'ArrowFunctionExpression' ? (comparator.params as Node[]) : []
  if (params.length === 2) {
    const [a, b] = params.map((param) => text.slice(param.start, param.end))
    edits.push({ kind: 'order', start: params[0].start, end: params[1].end, after: `${b}, ${a}` })
  }
  return edits
}

/** Removes each of the chosen elements of a list, together with its comma. */
function dropped(kind: Kind, chosen: readonly Node[], list: Node, elements = elementsOf(list)): Edit[] {
  return chosen.map((element) => {
    const i = elements.indexOf(element)
    const next = elements[i + 1]
    if (next) return { kind, start: element.start, end: next.start, after: '' }
    return { kind, start: elements[i - 1]?.end ?? element.start, end: element.end, after: '' }
  })
}

function elementsOf(list: Node): Node[] {
  return ((list.elements ?? list.properties) as (Node | null)[]).filter(isNode)
}

/** Whether a branch only returns, continues, breaks or throws, and returns no text. */
function leaves(branch: Node): boolean {
  if (branch.type === 'ReturnStatement' && branch.argument) return !isText(branch.argument as Node)

  if (branch.type !== 'BlockStatement') return /^(Return|Continue|Break|Throw)Statement$/.test(branch.type)
  const body = branch.body as Node[]
  return body.length === 1 && leaves(body[0])
}

function isText({ type, value }: Node): boolean {
  return type === 'TemplateLiteral' || typeof value === 'string'
}

function isSpread({ type }: Node): boolean {
  return type === 'SpreadElement'
}

function isFunction({ type }: Node): boolean {
  return /^(Arrow)?FunctionExpression$/.test(type)
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}
