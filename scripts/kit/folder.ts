/**
 * The folder of the conformance kit: a file of vectors for each operation, a manifest, and what judges.
 *
 * A file holds `3.in.x` and `3.out.y` of case 3, as `parity export-ops` does, and its bounds `3.any_order.y` in bf16. Where a class has
 * no tensor, that of the class before it holds; where none has, values are equal. `manifest.json` has the hash of each file, and of
 * each case the numbers, tags, and names of outputs in the order of computation.
 */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { root } from '../sources.ts'
import { classes } from './arithmetic.ts'
import { asBf16, tagsOf, type Expected, type KitOp } from './case.ts'
import { opsOfModels } from './model_cases.ts'
import { opsOfCatalogue } from './op_cases.ts'

/** The version of the vectors, by semantic versioning; fixtures/kit/CHANGELOG.md says what changed. */
const VERSION = '1.0.0'

/** What stands beside the vectors: the judge, its gallery, the header and the examples. */
export const sourceFolder: string = join(root, 'fixtures', 'kit')
/** The hashes of the vectors, which are committed. */
export const sumsFile = 'SHA256SUMS'

/** Writes the kit. @returns the text of its hashes */
export function writeKit(folder: string): string {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'vectors'), { recursive: true })
  for (const name of readdirSync(sourceFolder))
    if (!name.startsWith('__')) cpSync(join(sourceFolder, name), join(folder, name), { recursive: true })
  const sums: [string, string][] = []
  const add = (name: string, bytes: Uint8Array): string => {
    const sum = createHash('sha256').update(bytes).digest('hex')
    writeFileSync(join(folder, name), bytes)
    sums.push([name, sum])
    return sum
  }
  const ops: string[] = []
  for (const op of [...opsOfCatalogue(), ...opsOfModels()]) {
    const { tensors, cases, metadata } = contentOf(op)
    const file = `vectors/${op.name}.safetensors`
    const sha256 = add(file, encodeSafetensors(tensors, metadata))
    const about = { formula: op.formula, arrays: op.arrays, file, sha256, cases }
    ops.push(`${JSON.stringify(op.name)}:${JSON.stringify(about)}`)
  }
  const head = JSON.stringify({ format: 'shadowllm-kit 1', version: VERSION, classes: ['exact', ...classes] })
  add('manifest.json', new TextEncoder().encode(`${head.slice(0, -1)},"ops":{\n${ops.join(',\n')}\n}}\n`))
  const text = sums.map(([name, sum]) => `${sum}  ${name}\n`).join('')
  writeFileSync(join(folder, sumsFile), text)
  return text
}

/** The hashes that are committed. */
export function committedSums(): string {
  return readFileSync(join(sourceFolder, sumsFile), 'utf8')
}

function contentOf({ cases }: KitOp) {
  const metadata: Record<string, string> = { cases: String(cases.length) }
  const tensors = new Map<string, TensorToWrite>()
  const about = cases.map((one, index) => {
    for (const [name, tensor] of one.inputs) tensors.set(`${index}.in.${name}`, tensor)
    for (const output of one.outputs) {
      tensors.set(`${index}.out.${output.name}`, output.tensor)
      for (const [className, bound] of storedBounds(output))
        tensors.set(`${index}.${className}.${output.name}`, {
          dtype: 'BF16',
          shape: output.tensor.shape,
          data: bound,
        })
    }
    const numbers = Object.fromEntries(
      Object.entries(one.numbers).map(([name, value]) => [
        name,
        typeof value === 'number' ? Math.fround(value) : value,
      ]),
    )
    const judged = classes.filter((className) =>
      one.outputs.every(({ bounds }) => bounds[className] !== undefined),
    )
    // A reader in C has no manifest.
    for (const [name, value] of Object.entries(numbers)) metadata[`${index}.${name}`] = String(value)
    metadata[`${index}.judged`] = judged.join(' ')
    if (one.weights !== undefined) metadata[`${index}.weights`] = String(one.weights)
    return {
      numbers,
      ...tagsOf(one),
      outputs: one.outputs.map(({ name }) => name),
      traces: one.outputs.flatMap(({ name, isTrace }) => (isTrace ? [name] : [])),
      judged,
      ...(one.weights === undefined ? {} : { weights: one.weights }),
    }
  })
  return { tensors, cases: about, metadata }
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
