/**
 * ONNX models as bytes (onnx/onnx.proto): a graph of nodes over named values, its parameters, inputs and outputs.
 *
 * Small parameters lie in the file itself; large ones are only named here and lie in a file beside it, because one
 * protocol buffer ends at 2 GiB.
 */
import { MessageWriter } from './protobuf.ts'

/** TensorProto.DataType, the types used here. */
const dataTypes = { float32: 1, int32: 6, int64: 7 } as const

/** What a value is made of, in the names of onnxruntime. */
type ElementType = keyof typeof dataTypes

/** An attribute of a node, by its kind. */
export type Attribute =
  | { readonly float: number }
  | { readonly int: number }
  | { readonly ints: readonly number[] }

/** One operation. */
export interface OnnxNode {
  readonly operator: string
  /** Names of values; an optional input that is left out is ''. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** The operator set; '' (default) is ONNX's own. */
  readonly domain?: string
}

/** An input or output of the graph. A dimension may have a name in the place of a size. */
export interface OnnxValue {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly (number | string)[]
}

/** A small parameter with its values. */
export interface InlineTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: BigInt64Array | Int32Array | Float32Array
}

/** A float32 parameter in a file of its own kind: little-endian numbers from `offset` on. */
export interface ExternalTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** Name of the file, in the model's folder. */
  readonly file: string
  /** In bytes. */
  readonly offset: number
  /** In bytes. */
  readonly length: number
}

/** A model: one graph and the operator sets it uses. */
export interface OnnxModel {
  readonly name: string
  /** Operator sets: domain and version. */
  readonly operatorSets: readonly (readonly [domain: string, version: number])[]
  readonly nodes: readonly OnnxNode[]
  readonly parameters: readonly (InlineTensor | ExternalTensor)[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

/** The version of the file format that operator set 17 came with. */
const IR_VERSION = 8

/** A ModelProto. */
export function writeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const message = new MessageWriter().integer(1, IR_VERSION).string(2, 'shadowllm').message(7, graph(model))
  for (const [domain, version] of model.operatorSets)
    message.message(8, new MessageWriter().string(1, domain).integer(2, version))
  return message.finish()
}

/** GraphProto. */
function graph({ name, nodes, parameters, inputs, outputs }: OnnxModel): MessageWriter {
  const message = new MessageWriter()
  for (const one of nodes) message.message(1, node(one))
  message.string(2, name)
  for (const one of parameters) message.message(5, tensor(one))
  for (const one of inputs) message.message(11, valueInfo(one))
  for (const one of outputs) message.message(12, valueInfo(one))
  return message
}

/** NodeProto. A node is called after its first output. */
function node({ operator, inputs, outputs, attributes = {}, domain = '' }: OnnxNode): MessageWriter {
  const message = new MessageWriter()
  for (const name of inputs) message.string(1, name)
  for (const name of outputs) message.string(2, name)
  message.string(3, outputs[0]).string(4, operator)
  for (const [name, value] of Object.entries(attributes)) message.message(5, attribute(name, value))
  return message.string(7, domain)
}

/** AttributeProto; field 20 is the kind. */
function attribute(name: string, value: Attribute): MessageWriter {
  const message = new MessageWriter().string(1, name)
  if ('float' in value) return message.float(2, value.float).integer(20, 1)
  if ('int' in value) return message.integer(3, value.int).integer(20, 2)
  for (const one of value.ints) message.integer(8, one)
  return message.integer(20, 7)
}

function typeOf(values: InlineTensor['values']): ElementType {
  if (values instanceof Float32Array) return 'float32'
  return values instanceof Int32Array ? 'int32' : 'int64'
}

/** TensorProto. */
function tensor(one: InlineTensor | ExternalTensor): MessageWriter {
  const message = new MessageWriter()
  for (const size of one.shape) message.integer(1, size)
  if ('values' in one) {
    const { buffer, byteOffset, byteLength } = one.values
    return message
      .integer(2, dataTypes[typeOf(one.values)])
      .string(8, one.name)
      .bytes(9, new Uint8Array(buffer, byteOffset, byteLength))
  }
  message.integer(2, dataTypes.float32).string(8, one.name)
  const { file, offset, length } = one
  for (const [key, value] of Object.entries({ location: file, offset, length }))
    message.message(13, new MessageWriter().string(1, key).string(2, String(value)))
  return message.integer(14, 1)
}

/** ValueInfoProto: a name, and a TypeProto that says it is a tensor. */
function valueInfo({ name, type, shape }: OnnxValue): MessageWriter {
  const dimensions = new MessageWriter()
  for (const size of shape) {
    const one = new MessageWriter()
    dimensions.message(1, typeof size === 'number' ? one.integer(1, size) : one.string(2, size))
  }
  const tensorType = new MessageWriter().integer(1, dataTypes[type]).message(2, dimensions)
  return new MessageWriter().string(1, name).message(2, new MessageWriter().message(1, tensorType))
}
