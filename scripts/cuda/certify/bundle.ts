/**
 * The bundle of cuda/certify: calls of every op, a small model and the shapes to be timed, for the kernels of the committed
 * module, in one safetensors file. Equal sources give equal bytes.
 *
 * The file says the SHA-256 of itself, its 64 digits taken as zeros: a byte that was changed anywhere shows.
 *
 * It is committed in two parts, which cuda/certify.sh joins. The head is small and says for which module, definitions and version
 * the cases are, and where each tensor lies: it changes with every source. The data is large, and changes only with the cases.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { hashPlaces } from '../../../src/results/method_hash.ts'
import { encodeSafetensors } from '../../../src/io/safetensors_writer.ts'
import { modulePath } from '../module.ts'
import { root } from '../../sources.ts'
import { addCases } from './cases.ts'
import { addModel } from './model.ts'
import { ProgramWriter } from './program.ts'
import { checkKernels, kernelSets } from './sets.ts'
import { addShapes } from './shapes.ts'

/** The folder of the committed bundle. */
const bundleFolder = join(root, 'fixtures/cuda')

/** The parts of a bundle in a folder: its head, and its data, compressed. */
export function partsIn(folder: string = bundleFolder): { readonly head: string; readonly data: string } {
  return { head: join(folder, 'certify.head'), data: join(folder, 'certify.data.gz') }
}

/** What a bundle says of itself. */
const bundleFormat = 'shadowllm-cuda-certify 1'

const NO_HASH = '0'.repeat(64)

/** Makes the bundle for a module. */
export async function makeBundle(module: string = readFileSync(modulePath, 'utf8')): Promise<Uint8Array> {
  const program = new ProgramWriter()
  checkKernels(module)
  for (const set of kernelSets) {
    program.line('set', set.ending, set.backend, set.emulated)
    for (const op of set.ops) addCases(program, set, op)
    // What the host reads of a model decides what it launches next: that holds where all numbers are known.
    if (set.owed === 'row') await addModel(program, set)
    addShapes(program, set)
  }
  return encodeBundle(program, module)
}

/** A program for a module, as a file. */
export async function encodeBundle(program: ProgramWriter, module: string): Promise<Uint8Array> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const about = {
    sha256: NO_HASH,
    format: bundleFormat,
    version,
    definitions: await hashPlaces(['ops']),
    kernels: createHash('sha256').update(module).digest('hex'),
  }
  return seal(encodeSafetensors(program.tensors(), about))
}

/** Puts in its place the hash that a bundle must say of itself, whatever is said there. */
export function seal(bytes: Uint8Array): Uint8Array {
  const sealed = Buffer.from(bytes)
  const place = sealed.indexOf('"sha256":"') + '"sha256":"'.length
  sealed.write(NO_HASH, place, 'latin1')
  sealed.write(createHash('sha256').update(sealed).digest('hex'), place, 'latin1')
  return sealed
}

/**
 * Writes a bundle in its two parts. Data that is there already is left as it is: how it is compressed depends on the zlib that
 * does it.
 */
export function writeBundle(bundle: Uint8Array, folder: string = bundleFolder): void {
  const { head, data } = partsIn(folder)
  // A safetensors file begins with the length of its header, in eight bytes.
  const split = 8 + Number(new DataView(bundle.buffer, bundle.byteOffset).getBigUint64(0, true))
  mkdirSync(folder, { recursive: true })
  writeFileSync(head, bundle.subarray(0, split))
  const rest = Buffer.from(bundle.subarray(split))
  if (!existsSync(data) || !rest.equals(gunzipSync(readFileSync(data))))
    writeFileSync(data, gzipSync(rest, { level: 9 }))
}

/** The committed bundle, or that of another folder. */
export function readBundle(folder: string = bundleFolder): Uint8Array {
  const { head, data } = partsIn(folder)
  return Buffer.concat([readFileSync(head), gunzipSync(readFileSync(data))])
}
