/**
 * A decoder as two files in a folder, as onnxruntime reads it: the graph, and the weights it names.
 */
import { transpose } from '../../src/ops/transpose.ts'
import { joinPath, writeFileAtomic } from '../../src/platform/platform.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { WEIGHTS_FILE, type DecoderGraph, type StoredParameter } from './decoder_graph.ts'
import { writeModel } from './onnx_writer.ts'

/** Name of the graph. */
export const MODEL_FILE = 'model.onnx'

/** The bytes of the file of weights, in order: parameters at their offsets, zeros between. */
export async function* weightsFile(
  stored: readonly StoredParameter[],
  source: TensorSource, // by Hugging Face's names
): AsyncGenerator<Uint8Array> {
  let written = 0
  for (const { tensor, parameter, turned } of stored) {
    yield new Uint8Array(tensor.offset - written)
    let values = await source.read(parameter)
    if (turned) {
      const [I, O] = tensor.shape
      const asStored = values
      values = new Float32Array(asStored.length)
      transpose(values, asStored, O, I)
    }
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    written = tensor.offset + tensor.length
  }
}

/** Writes both files into a folder. */
export async function writeDecoder(folder: string, graph: DecoderGraph, source: TensorSource): Promise<void> {
  await writeFileAtomic(joinPath(folder, WEIGHTS_FILE), weightsFile(graph.stored, source))
  await writeFileAtomic(joinPath(folder, MODEL_FILE), writeModel(graph.model))
}
