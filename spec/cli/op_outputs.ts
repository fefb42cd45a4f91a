/**
 * The outputs in a file of `parity export-ops`, to make an answer of.
 */
import { openSafetensors } from '../../src/io/safetensors.ts'
import type { TensorToWrite } from '../../src/io/safetensors_writer.ts'

/** The outputs of all cases by name, such as `3.out.y`, and the metadata of the file. */
export interface OpOutputs {
  readonly outputs: Map<string, TensorToWrite & { readonly data: Float32Array }>
  readonly metadata: Record<string, string>
}

/** Reads the float32 outputs of a file. */
export async function readOutputs(path: string): Promise<OpOutputs> {
  const source = await openSafetensors(path)
  const outputs: OpOutputs['outputs'] = new Map()
  for (const [name, { shape }] of source.tensors)
    if (name.includes('.out.'))
      outputs.set(name, { dtype: 'F32', shape, data: Float32Array.from(await source.read(name)) })
  const { metadata } = source
  await source.close()
  return { outputs, metadata: Object.fromEntries(metadata) }
}
