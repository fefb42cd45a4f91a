/**
 * ONNX models as the bench of peers writes them: what is read back, by the field numbers of onnx.proto, is what was
 * described.
 */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  writeModel,
  type Attribute,
  type ExternalTensor,
  type InlineTensor,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from '../../bench/peers/onnx_writer.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { bytesOf, integersOf, textsOf } from './protobuf_reader.ts'

const name = fc.string({ maxLength: 6 })
const size = fc.integer({ min: 0, max: 2 ** 40 })
const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.record({ float: fc.float({ noNaN: true }) }),
  fc.record({ int: fc.maxSafeInteger() }),
  fc.record({ ints: fc.array(fc.maxSafeInteger(), { maxLength: 4 }) }),
)
const node: fc.Arbitrary<OnnxNode> = fc.record({
  operator: name,
  inputs: fc.array(name, { maxLength: 4 }),
  outputs: fc.array(name, { minLength: 1, maxLength: 3 }),
  attributes: fc.dictionary(name, attribute, { maxKeys: 3, noNullPrototype: true }),
  domain: name,
})
const value: fc.Arbitrary<OnnxValue> = fc.record({
  name,
  type: fc.constantFrom('float32', 'int32', 'int64'),
  shape: fc.array(fc.oneof(size, name), { maxLength: 4 }),
})
const inline: fc.Arbitrary<InlineTensor> = fc.record({
  name,
  shape: fc.array(size, { maxLength: 3 }),
  values: fc.oneof(
    fc.array(fc.maxSafeInteger(), { maxLength: 4 }).map((values) => BigInt64Array.from(values, BigInt)),
    fc.array(fc.integer(), { maxLength: 4 }).map((values) => Int32Array.from(values)),
    // A view that does not begin where its buffer does.
    fc.float32Array({ minLength: 1, maxLength: 5, noNaN: true }).map((values) => values.subarray(1)),
  ),
})
const external: fc.Arbitrary<ExternalTensor> = fc.record({
  name,
  shape: fc.array(size, { maxLength: 3 }),
  file: name,
  offset: size,
  length: size,
})
const model: fc.Arbitrary<OnnxModel> = fc.record({
  name,
  operatorSets: fc.array(fc.tuple(name, size), { maxLength: 3 }),
  nodes: fc.array(node, { maxLength: 3 }),
  parameters: fc.array(fc.oneof(inline, external), { maxLength: 3 }),
  inputs: fc.array(value, { maxLength: 3 }),
  outputs: fc.array(value, { maxLength: 3 }),
})

function one<Value>(values: readonly Value[]): Value {
  if (values.length !== 1) throw new RangeError(`expected one value, got ${values.length}`)
  return values[0]
}

// The field numbers and kinds of onnx.proto, written down apart from the writer's.
const elementTypes = new Map([
  [1, 'float32'],
  [6, 'int32'],
  [7, 'int64'],
])

function readAttribute(bytes: Uint8Array): [string, Attribute] {
  const key = one(textsOf(bytes, 1))
  const kind = one(integersOf(bytes, 20))
  const read = new Map<number, () => Attribute>([
    [1, () => ({ float: new Float32Array(one(bytesOf(bytes, 2)).slice().buffer)[0] })],
    [2, () => ({ int: one(integersOf(bytes, 3)) })],
    [7, () => ({ ints: integersOf(bytes, 8) })],
  ]).get(kind)
  if (!read) throw new RangeError(`attribute ${key}: kind ${kind}`)
  return [key, read()]
}

function readNode(bytes: Uint8Array): OnnxNode {
  return {
    operator: one(textsOf(bytes, 4)),
    inputs: textsOf(bytes, 1),
    outputs: textsOf(bytes, 2),
    attributes: Object.fromEntries(bytesOf(bytes, 5).map(readAttribute)),
    domain: one(textsOf(bytes, 7)),
  }
}

function readTensor(bytes: Uint8Array): InlineTensor | ExternalTensor {
  const about = { name: one(textsOf(bytes, 8)), shape: integersOf(bytes, 1) }
  const type = elementTypes.get(one(integersOf(bytes, 2)))
  if (integersOf(bytes, 14)[0] === 1) {
    if (type !== 'float32' || bytesOf(bytes, 9).length > 0)
      throw new RangeError(`${about.name}: expected float32 elsewhere, got ${type} here`)
    const entries = bytesOf(bytes, 13).map((entry) => [one(textsOf(entry, 1)), one(textsOf(entry, 2))])
    const { location: file, offset, length } = Object.fromEntries(entries) as Record<string, string>
    return { ...about, file, offset: Number(offset), length: Number(length) }
  }
  const { buffer } = one(bytesOf(bytes, 9)).slice()
  if (type === 'float32') return { ...about, values: new Float32Array(buffer) }
  return { ...about, values: type === 'int32' ? new Int32Array(buffer) : new BigInt64Array(buffer) }
}

function readValue(bytes: Uint8Array): OnnxValue {
  const tensor = one(bytesOf(one(bytesOf(bytes, 2)), 1))
  return {
    name: one(textsOf(bytes, 1)),
    type: elementTypes.get(one(integersOf(tensor, 1))) as OnnxValue['type'],
    shape: bytesOf(one(bytesOf(tensor, 2)), 1).map((dimension) =>
      one<number | string>([...integersOf(dimension, 1), ...textsOf(dimension, 2)]),
    ),
  }
}

function readModel(bytes: Uint8Array): OnnxModel {
  const graph = one(bytesOf(bytes, 7))
  return {
    name: one(textsOf(graph, 2)),
    operatorSets: bytesOf(bytes, 8).map((set) => [one(textsOf(set, 1)), one(integersOf(set, 2))]),
    nodes: bytesOf(graph, 1).map(readNode),
    parameters: bytesOf(graph, 5).map(readTensor),
    inputs: bytesOf(graph, 11).map(readValue),
    outputs: bytesOf(graph, 12).map(readValue),
  }
}

const comesBack = lawForAll(
  'an ONNX model round-trips through its bytes',
  { model },
  (write: (model: OnnxModel) => Uint8Array, { model }): boolean =>
    isDeepStrictEqual(readModel(write(model)), structuredClone(model)),
)
stateLaw(comesBack, writeModel)

test('the file states its version, and a node has the name of its first output', () => {
  const nodes = [{ operator: 'Relu', inputs: ['x'], outputs: ['y'] }]
  const bytes = writeModel({ name: 'm', operatorSets: [], nodes, parameters: [], inputs: [], outputs: [] })
  expect(integersOf(bytes, 1)).toEqual([8])
  expect(textsOf(one(bytesOf(one(bytesOf(bytes, 7)), 1)), 3)).toEqual(['y'])
})

const firstOnly = <Item>(items: readonly Item[]): readonly Item[] => items.slice(0, 1)
const mutants: Readonly<Record<string, (model: OnnxModel) => OnnxModel>> = {
  'outputs before inputs': (m) => ({ ...m, inputs: m.outputs, outputs: m.inputs }),
  'one node': (m) => ({ ...m, nodes: firstOnly(m.nodes) }),
  'nodes in another order': (m) => ({ ...m, nodes: m.nodes.toReversed() }),
  'no attributes': (m) => ({ ...m, nodes: m.nodes.map((node) => ({ ...node, attributes: {} })) }),
  'no domains': (m) => ({ ...m, nodes: m.nodes.map((node) => ({ ...node, domain: '' })) }),
  'values from the start of the buffer': (m) => ({
    ...m,
    parameters: m.parameters.map((tensor) =>
      'values' in tensor && tensor.values instanceof Float32Array
        ? { ...tensor, values: new Float32Array(tensor.values.buffer, 0, tensor.values.length) }
        : tensor,
    ),
  }),
  'offsets of 32 bits': (m) => ({
    ...m,
    parameters: m.parameters.map((tensor) =>
      'values' in tensor ? tensor : { ...tensor, offset: tensor.offset | 0 },
    ),
  }),
}

test.each(Object.entries(mutants))('a mutant is killed: %s', (_, breaks) =>
  kills(comesBack, (model) => writeModel(breaks(model))),
)
