/**
 * The generated parts of spec/parity.md: the table of ops, the table of a model's tensors, a file byte by byte, and one case
 * in numbers. `spec/parity_page.spec.ts` compares the page with them; run as a program, this writes them:
 *
 *   node scripts/node.mjs scripts/parity_page.ts
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { format } from 'oxfmt'
import { describeBound, kindOf } from '../src/parity/kinds.ts'
import { arraysOf, shapeOf } from '../src/testing/op_case.ts'
import { opFile, storedAs } from '../src/parity/op_files.ts'
import { casesOf, type OpCase } from '../src/parity/op_suite.ts'
import { encodeSafetensors, type TensorToWrite } from '../src/io/safetensors_writer.ts'
import { kernelNames, kernels, type KernelName } from '../src/ops/catalog.ts'
import type { ArrayParam, Kernel, SizeParam, Sizes } from '../src/ops/op.ts'

/** Where the page is. */
export const pagePath: string = fileURLToPath(new URL('../spec/parity.md', import.meta.url))

/** A tensor of a parity file, as the page says it. */
export interface TensorRow {
  /** `<l>` stands for a layer or the number of a hidden state, `<name>` for a criterion. */
  readonly name: string
  readonly dtype: 'F32' | 'I64'
  /** In letters: B sequences, T positions, L layers, H heads, D width, F neurons, V vocabulary. */
  readonly shape: readonly string[]
  readonly meaning: string
}

const row = (name: string, dtype: TensorRow['dtype'], shape: string, meaning: string): TensorRow => ({
  name,
  dtype,
  shape: shape.split(' '),
  meaning,
})

/** Every tensor that `parity export` writes. */
export const tensorRows: readonly TensorRow[] = [
  row('input_ids', 'I64', 'B T', 'tokens, as given'),
  row('attention_mask', 'I64', 'B T', '1 at a token, 0 at padding; each row is one run of ones'),
  row('labels', 'I64', 'B T', 'the token to predict at a position, from the one before; -100: not scored'),
  row('head_mask', 'F32', 'L H', 'a factor for the output of each head: 1 kept, 0 skipped'),
  row('ffn_mask', 'F32', 'L F', 'the same for each neuron, after ReLU'),
  row('logits', 'F32', 'B T V', 'of the token after each position'),
  row(
    'nll',
    'F32',
    'B T',
    'of each token given those before it, labels or not; 0 at the first of a sequence',
  ),
  row('loss', 'F32', '1', 'mean negative log-likelihood over the scored labels of the whole batch, in nats'),
  row(
    'hidden.<l>',
    'F32',
    'B T D',
    '0: input of layer 0; l: output of layer l - 1; the last: input of lm_head, after the final norm',
  ),
  row('head_out', 'F32', 'L B T D', 'softmax(q k) v before out_proj; head h in columns h K to (h + 1) K - 1'),
  row('fc1_act', 'F32', 'L B T F', 'neurons after ReLU; named ffn_act where they are gated, as in Llama'),
  row('head_out_grad', 'F32', 'L B T D', 'derivative of loss with respect to head_out'),
  row('fc1_act_grad', 'F32', 'L B T F', 'derivative of loss with respect to fc1_act, also where it is 0'),
  row('crit.<name>_head', 'F32', 'L H', 'score of each head, over the batch'),
  row('crit.<name>_ffn', 'F32', 'L F', 'score of each neuron, over the batch'),
  row('masked.logits', 'F32', 'B T V', 'logits under head_mask and ffn_mask'),
  row('masked.loss', 'F32', '1', 'loss under them'),
]

/** The parts by name, each as the formatter leaves it. */
export async function makeParts(): Promise<ReadonlyMap<string, string>> {
  const parts = {
    ops: opTable(),
    tensors: tensorTable(),
    bytes: fenced(dumpExample()),
    case: fenced(describeCase('linear')),
  }
  const made = await Promise.all(
    Object.entries(parts).map(async ([name, text]) => [name, await tidy(text)] as const),
  )
  return new Map(made)
}

async function tidy(markdown: string): Promise<string> {
  return (await format('part.md', markdown, { printWidth: 110 })).code.trim()
}

const marks = (name: string): [string, string] => [`<!-- made: ${name} -->`, '<!-- end -->']

/** What stands on a page between the marks of a part; null if they are not there. */
export function partOf(page: string, name: string): string | null {
  const [start, end] = marks(name)
  const from = page.indexOf(start)
  const to = page.indexOf(end, from)
  return from < 0 || to < 0 ? null : page.slice(from + start.length, to).trim()
}

/** The page with a part replaced. */
function withPart(page: string, name: string, text: string): string {
  const old = partOf(page, name)
  if (old === null) throw new Error(`spec/parity.md: expected marks of ${name}, got none`)
  const [start, end] = marks(name)
  const from = page.indexOf(start)
  return `${page.slice(0, from)}${start}\n\n${text}\n\n${page.slice(page.indexOf(end, from))}`
}

function fenced(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``
}

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(heading), line(heading.map(() => '---')), ...rows.map(line)].join('\n')
}

function opTable(): string {
  const rows = kernelNames.map((name) => {
    const op = kernels[name]
    const arrays = (roles: readonly ArrayParam['role'][]): string =>
      arraysOf(op)
        .filter(({ role }) => roles.includes(role))
        .map(describeArray)
        .join(', ')
    const scalars = op.params.filter(({ kind }) => kind === 'scalar').map(({ name }) => `\`${name}\``)
    const sizes = op.params.flatMap((param) => (param.kind === 'size' ? [describeSize(param)] : []))
    return [
      `\`${name}\``,
      arrays(['out', 'add']),
      arrays(['in', 'add']),
      [...scalars, ...sizes].join(' '),
      `\`${op.formula}\``,
      toleranceOf(name, op),
    ]
  })
  return table(['op', 'writes', 'reads', 'scalars, sizes', 'formula', 'tolerance'], rows)
}

/** "`G` = ⌈O / 4⌉" where a size follows from another. */
function describeSize({ name, quotient }: SizeParam): string {
  return quotient ? `\`${name}\` = ⌈${quotient.of} / ${quotient.by}⌉` : `\`${name}\``
}

/** "`rows`? i32 [R] < O, ascending": a `?` follows an optional array. */
function describeArray({ name, dtype, shape, optional, below, holds, anyOrder }: ArrayParam): string {
  const orders = {
    numbers: '',
    ids: '',
    labels: ' or -100',
    ascending: anyOrder ? ' distinct' : ' ascending',
  }
  const values = below === null ? '' : ` < ${below}${orders[holds]}`
  return `\`${name}\`${optional ? '?' : ''} ${dtype} [${shape.join(', ')}]${values}`
}

/** The tolerance of a row, and the roundings it allows a relaxed backend at the sizes of a prompt. */
function toleranceOf(name: KernelName, { agreement, relaxed }: Kernel): string {
  const strict = agreement === 'bitwise' ? 'bits' : `within ${agreement.bound}`
  if (relaxed === null) return strict
  const sizes = [...casesOf(name, { seed: 0 })].at(-1)?.sizes ?? {}
  return `${strict}; relaxed ${relaxed.bound(sizes)} at ${describeSizes(sizes)}`
}

function describeSizes(sizes: Sizes): string {
  return Object.entries(sizes)
    .map(([letter, size]) => `${letter}=${size}`)
    .join(' ')
}

function tensorTable(): string {
  const rows = tensorRows.map(({ name, dtype, shape, meaning }) => {
    const { tolerance, measure } = kindOf(name.replace('<l>', '0'))
    return [`\`${name}\``, dtype, `[${shape.join(', ')}]`, meaning, describeBound(tolerance, measure)]
  })
  return table(['tensor', 'type', 'shape', 'what it is', 'tolerance'], rows)
}

/** The file that the page shows byte by byte. */
export const exampleFile: Uint8Array = encodeSafetensors(
  new Map<string, TensorToWrite>([
    ['0.in.x', { dtype: 'F32', shape: [2], data: Float32Array.of(1, -2.5) }],
    ['0.out.y', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 0) }],
  ]),
  { op: 'relu', '0.N': '2' },
)

/** Sixteen bytes a line, with their marks, and what each stretch is. */
function dumpExample(): string {
  const header = Number(new DataView(exampleFile.buffer).getBigUint64(0, true))
  const stretches: [number, number, string][] = [
    [0, 8, `length of the header, little-endian: ${header}`],
    [8, 8 + header, 'the header: JSON, padded with spaces'],
    [8 + header, 16 + header, '0.in.x: 1, -2.5'],
    [16 + header, 24 + header, '0.out.y: 1, 0'],
  ]
  return stretches.flatMap(([from, to, words]) => [`# ${words}`, ...dump(from, to)]).join('\n')
}

function dump(from: number, to: number): string[] {
  const lines: string[] = []
  for (let at = from; at < to; at += 16) {
    const bytes = exampleFile.subarray(at, Math.min(to, at + 16))
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const marks = Array.from(bytes, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${marks.join('')}`.trimEnd())
  }
  return lines
}

/** A small case of an op with everything that is optional, in numbers. */
function describeCase(op: KernelName): string {
  const found = [...casesOf(op, { seed: 0, small: true })].find(isTelling)
  if (found === undefined) throw new Error(`${op}: expected a case to show, got none`)
  const { index, sizes } = found
  const { tensors } = opFile(op, { seed: 0, small: true })
  const lines = [...tensors]
    .filter(([name]) => name.startsWith(`${index}.`))
    .toSorted(([a], [b]) => Number(a.includes('.out.')) - Number(b.includes('.out.')))
    .map(([name, { dtype, shape, data }]) => [name, `${dtype} [${shape.join(', ')}]`, describeNumbers(data)])
  const widths = [0, 1].map((i) => Math.max(...lines.map((line) => line[i].length)))
  const letters = Object.entries(sizes).map(([letter, size]) => `${index}.${letter} = "${size}"`)
  return [
    `metadata    ${letters.join('   ')}`,
    ...lines.map(([name, form, data]) => `${name.padEnd(widths[0])}  ${form.padEnd(widths[1])}  ${data}`),
  ].join('\n')
}

function describeNumbers(data: TensorToWrite['data']): string {
  return Array.from(data as ArrayLike<number>, (x) => (Object.is(x, -0) ? '-0' : String(x))).join(' ')
}

/** Small, whole, with some units chosen and some not, and numbers that are quick to read. */
function isTelling({ op, sizes, values }: OpCase): boolean {
  const arrays = arraysOf(kernels[op]).filter(({ role }) => role !== 'out')
  const lengths = arrays.map((param) => shapeOf(param, sizes).reduce((product, n) => product * n, 1))
  if (arrays.some(({ name }) => values[name] === null) || lengths.some((n) => n < 1 || n > 25)) return false
  const floats = arrays.filter(({ dtype }) => dtype === 'f32')
  const numbers = floats.flatMap(({ name }) => [...(values[name] as Float32Array)])
  return sizes.R < sizes.O && numbers.every((x) => Math.abs(x) < 3)
}

/** The kinds of numbers and what safetensors calls them: "f32 is F32, ...". */
export function describeKinds(): string {
  return Object.entries(storedAs)
    .map(([kind, stored]) => `\`${kind}\` is \`${stored}\``)
    .join(', ')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let page = readFileSync(pagePath, 'utf8')
  for (const [name, text] of await makeParts()) page = withPart(page, name, text)
  writeFileSync(pagePath, page)
}
