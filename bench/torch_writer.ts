/**
 * Writes checkpoints as torch.save does, a tensor at a time: a zip archive of stored entries, the first of them a pickle.
 * Only to have something to read: one storage per tensor, no more than 4 GB.
 */
import { crc32, writeFileAtomic } from '../src/platform/platform.ts'
import type { TensorForm } from '../src/io/safetensors_writer.ts'

const storageClasses = {
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  F64: 'DoubleStorage',
} as const

/** A tensor of floats. */
export interface TorchForm extends TensorForm {
  readonly dtype: keyof typeof storageClasses
}

/** Writes tensors whose bytes come as streams. */
export async function writeTorch(
  path: string,
  tensors: ReadonlyMap<string, TorchForm>,
  stream: (name: string) => AsyncIterable<Uint8Array>,
): Promise<void> {
  const names = [...tensors.keys()]
  await writeFileAtomic(
    path,
    zipParts([
      ['archive/data.pkl', () => [pickleOf(tensors)]],
      ['archive/byteorder', () => [text('little')]],
      ...names.map((name, i): Entry => [`archive/data/${i}`, () => stream(name)]),
      ['archive/version', () => [text('3\n')]],
    ]),
  )
}

const text = (content: string): Uint8Array => new TextEncoder().encode(content)

// ---- Pickle ---------------------------------------------------------------------------------------------------

/** {name: _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())} in protocol 2. */
function pickleOf(tensors: ReadonlyMap<string, TorchForm>): Uint8Array {
  const items = [...tensors].map(([name, { dtype, shape }], i) => {
    const strides = shape.map((_, dimension) => productOf(shape.slice(dimension + 1)))
    const storage = `(${unicode('storage')}ctorch\n${storageClasses[dtype]}\n${unicode(`${i}`)}${unicode('cpu')}${int(productOf(shape))}tQ`
    const tuples = [shape, strides].map((sizes) => `(${sizes.map(int).join('')}t`).join('')
    return `${unicode(name)}ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(0)}${tuples}\x89ccollections\nOrderedDict\n)RtR`
  })
  return Uint8Array.from(`\x80\x02}(${items.join('')}u.`, (character) => character.charCodeAt(0))
}

function productOf(sizes: readonly number[]): number {
  return sizes.reduce((product, size) => product * size, 1)
}

/** Names here are ASCII, so that a character is a byte. */
const unicode = (content: string): string => `X${word(content.length)}${content}`
const int = (value: number): string => `J${word(value)}`
const word = (value: number): string => String.fromCharCode(...littleEndian([value, 4]))

// ---- Zip ------------------------------------------------------------------------------------------------------

type Entry = readonly [name: string, content: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>]

/** Checksums and sizes stand behind the data, as torch has them. */
async function* zipParts(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  const central: Uint8Array[] = []
  let offset = 0
  for (const [name, content] of entries) {
    const [start, label] = [offset, text(name)]
    // Data begins at a multiple of 64, as torch puts it; the extra field is the padding.
    const padding = 64 - ((start + 30 + label.length + 4) % 64)
    const nameAndExtra = [label, littleEndian([0x4246, 2], [padding, 2]), new Uint8Array(padding)]
    yield* [
      littleEndian(
        [0x04034b50, 4],
        [0, 2],
        [8, 2],
        [0, 6],
        [0, 4],
        [0, 4],
        [0, 4],
        [label.length, 2],
        [4 + padding, 2],
      ),
      ...nameAndExtra,
    ]
    let [crc, size] = [0, 0]
    for await (const part of content()) {
      crc = crc32(part, crc)
      size += part.length
      yield part
    }
    yield littleEndian([0x08074b50, 4], [crc, 4], [size, 4], [size, 4])
    offset += 30 + label.length + 4 + padding + size + 16
    central.push(
      littleEndian(
        [0x02014b50, 4],
        [0, 4],
        [8, 2],
        [0, 6],
        [crc, 4],
        [size, 4],
        [size, 4],
        [label.length, 2],
        [0, 12],
        [start, 4],
      ),
      label,
    )
  }
  yield* central
  const length = central.reduce((sum, part) => sum + part.length, 0)
  yield littleEndian(
    [0x06054b50, 4],
    [0, 4],
    [entries.length, 2],
    [entries.length, 2],
    [length, 4],
    [offset, 4],
    [0, 2],
  )
}

/** Integers of so many bytes each, one after the other. */
function littleEndian(...fields: readonly (readonly [value: number, size: number])[]): Uint8Array {
  return Uint8Array.from(
    fields.flatMap(([value, size]) =>
      Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) % 256),
    ),
  )
}
