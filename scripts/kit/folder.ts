/**
 * The folder of the conformance kit: a file of vectors for each operation, a manifest, and what judges.
 *
 * A file holds `3.in.x` and `3.out.y` of case 3, as `parity export-ops` does, and its bounds `3.any_order.y` in bf16. Where a class has
 * no tensor, that of the class before it holds; where none has, values are equal. Its metadata has the numbers of the case, as
 * `3`: `T=5 O=2`, and as `3.about` its tags, its outputs in the order of computation, and what is special of it: outputs that may be
 * left out, classes that are not judged, and the case that has its weights. `manifest.json` has the hash of each file.
 */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { encodeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { textFor } from '../package/readme.ts'
import { root } from '../sources.ts'
import { classes } from './arithmetic.ts'
import { asBf16, tagsOf, type Expected, type KitOp } from './case.ts'
import { exportsOf } from './flashinfer_bench.ts'
import { opsOfModels } from './model_cases.ts'
import { opsOfCatalogue } from './op_cases.ts'

/** The version of the vectors, by semantic versioning; fixtures/kit/CHANGELOG.md says what changed. */
const VERSION = '2.0.0'

/** What stands beside the vectors: the judge, its gallery, the header and the examples. */
export const sourceFolder: string = join(root, 'fixtures', 'kit')
/** The hashes of the vectors, which are committed. */
export const sumsFile = 'SHA256SUMS'

/** The operations and their vectors, which are computed once for all kits that a process writes. */
let known: readonly KitOp[] | null = null

/**
 * Writes the kit.
 * @param isWhole whether workloads of FlashInfer-Bench are of each size
 * @returns the text of its hashes
 */
export function writeKit(folder: string, isWhole = false): string {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const name of readdirSync(sourceFolder))
    if (!name.startsWith('__')) cpSync(join(sourceFolder, name), join(folder, name), { recursive: true })
  const text = (path: string): string => readFileSync(join(root, path), 'utf8')
  // The guide without what only a checkout or the site has.
  const guide = textFor('package', text('docs/guides/kernels.md')).replaceAll(/^<!--[^]*?-->\n+/gm, '')
  writeFileSync(join(folder, 'README.md'), guide)
  const [, numbers] = /^(## Numbers\n.*?)^## /ms.exec(text('spec/parity.md')) ?? ['', '']
  writeFileSync(join(folder, 'numbers.md'), numbers)
  const sums: [string, string][] = []
  const add = (name: string, bytes: Uint8Array): string => {
    const sum = createHash('sha256').update(bytes).digest('hex')
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), bytes)
    sums.push([name, sum])
    return sum
  }
  const ops: string[] = []
  known ??= [...opsOfCatalogue(), ...opsOfModels()]
  for (const op of known) {
    const file = `vectors/${op.name}.safetensors`
    const sha256 = add(file, contentOf(op))
    const about = { formula: op.formula, arrays: op.arrays, cases: op.cases.length, file, sha256 }
    ops.push(`${JSON.stringify(op.name)}:${JSON.stringify(about)}`)
    for (const { path, text } of exportsOf(op, isWhole)) add(path, new TextEncoder().encode(text))
  }
  const head = JSON.stringify({ format: 'shadowllm-kit 2', version: VERSION, classes: ['exact', ...classes] })
  add('manifest.json', new TextEncoder().encode(`${head.slice(0, -1)},"ops":{\n${ops.join(',\n')}\n}}\n`))
  const lines = sums.map(([name, sum]) => `${sum}  ${name}\n`).join('')
  writeFileSync(join(folder, sumsFile), lines)
  return lines
}

/** The hashes that are committed. */
export function committedSums(): string {
  return readFileSync(join(sourceFolder, sumsFile), 'utf8')
}

function contentOf({ cases }: KitOp): Uint8Array {
  const metadata: Record<string, string> = { cases: String(cases.length) }
  const tensors = new Map<string, TensorToWrite>()
  for (const [index, one] of cases.entries()) {
    const { numbers, inputs, outputs, weights } = one
    for (const [name, tensor] of inputs) tensors.set(`${index}.in.${name}`, tensor)
    for (const output of outputs) {
      const { shape } = output.tensor
      tensors.set(`${index}.out.${output.name}`, output.tensor)
      for (const [className, data] of storedBounds(output))
        tensors.set(`${index}.${className}.${output.name}`, { dtype: 'BF16', shape, data })
    }
    metadata[index] = words(numbers)
    metadata[`${index}.about`] = words({
      ...tagsOf(one),
      outputs: outputs.map(({ name }) => name).join(),
      traces: outputs.flatMap(({ name, isTrace }) => (isTrace ? [name] : [])).join(),
      unjudged: classes.filter((name) => outputs.some(({ bounds }) => bounds[name] === undefined)).join(),
      weights: weights ?? '',
    })
  }
  return encodeSafetensors(tensors, metadata)
}

/** `T=5 O=2`, without what is an empty text. */
function words(facts: object): string {
  return Object.entries(facts)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}=${typeof value === 'number' ? Math.fround(value) : value}`)
    .join(' ')
}

/** A class has a tensor where its bounds are others than those of the class before it. */
function storedBounds({ bounds }: Expected): [string, Uint16Array][] {
  let before: Uint16Array | null = null
  const stored: [string, Uint16Array][] = []
  for (const className of classes) {
    const own = bounds[className]
    if (!own || own.length === 0) continue
    const rounded = asBf16(own)
    const isKnown = before
      ? before.every((word, i) => word === rounded[i])
      : rounded.every((word) => word === 0)
    if (isKnown) continue
    stored.push([className, rounded])
    before = rounded
  }
  return stored
}
