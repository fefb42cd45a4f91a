/**
 * The list of hostile safetensors files, ST01 to ST23: what each is, the code it is refused with, the file.
 * (ST15's large case, ST19, ST20, ST22, ST24 and ST25 are tests of their own; the last four are legal files.)
 */
import { concat, headerField, rawSafetensors } from './hostile.ts'

/** A hostile file: what it is, the code it must be refused with, its bytes. */
export type HostileFile = [what: string, code: string, bytes: () => Uint8Array]

/** A file with this header and `data` zero bytes. */
const file =
  (header: string | Uint8Array, data = 0) =>
  (): Uint8Array =>
    rawSafetensors({ header, data })
/** A file that claims a header of this length. */
const claims = (length: bigint) => (): Uint8Array => rawSafetensors({ header: '{}', length })
/** A file of these header fields. */
const fields = (list: string[], data = 0): (() => Uint8Array) => file(`{${list.join()}}`, data)
/** A file of one tensor called x. */
const tensor = (
  dtype: string,
  shape: string,
  begin: string | number,
  end: string | number,
  data = 4,
): (() => Uint8Array) => fields([headerField('x', dtype, shape, begin, end)], data)

const x = headerField('x', 'F32', '[1]', 0, 4)
const named = (name: string): (() => Uint8Array) => fields([headerField(name, 'U8', '[0]', 0, 0)])
const notDigits = [
  '-1',
  '1.0',
  '1.5',
  '1e0',
  '01',
  '-0',
  '9007199254740992',
  '9007199254740993',
  '1e400',
  '0x1',
]

/** Every file of the list that is refused when it is opened. */
export const refusedSafetensors: HostileFile[] = [
  ['ST01 empty', 'SAFETENSORS_SHORT', () => new Uint8Array(0)],
  ['ST01 7 bytes', 'SAFETENSORS_SHORT', () => new Uint8Array(7)],
  ['ST02 length past the file', 'SAFETENSORS_HEADER_LENGTH', claims(3n)],
  ['ST03 length 2^63', 'SAFETENSORS_HEADER_LIMIT', claims(2n ** 63n)],
  ['ST03 length 2^64-1', 'SAFETENSORS_HEADER_LIMIT', claims(2n ** 64n - 1n)],
  ['ST04 over the limit', 'SAFETENSORS_HEADER_LIMIT', claims(25_000_001n)],
  ['ST05 not UTF-8', 'JSON_ENCODING', file(concat('{"', [0xff], '":1}'))],
  ['ST05 overlong UTF-8', 'JSON_ENCODING', file(concat('{"', [0xc0, 0xaf], '":1}'))],
  ['ST06 byte order mark', 'JSON_BOM', file('\ufeff{}')],
  ['ST07 no JSON', 'JSON_SYNTAX', file('x')],
  ['ST07 empty header', 'JSON_SYNTAX', file('')],
  ['ST07 two values', 'JSON_SYNTAX', file('{}{}')],
  ['ST07 comma at the end', 'JSON_SYNTAX', file(`{${x},}`, 4)],
  ['ST07 list', 'SAFETENSORS_HEADER', file('[]')],
  ['ST07 null', 'SAFETENSORS_HEADER', file('null')],
  ['ST07 number', 'SAFETENSORS_HEADER', file('7')],
  ['ST07 tensor is null', 'SAFETENSORS_HEADER', file('{"x":null}')],
  ['ST08 tensor twice', 'JSON_DUPLICATE', fields([x, x], 4)],
  ['ST08 tensor twice, spelt differently', 'JSON_DUPLICATE', fields([x, x.replace('"x"', '"\\u0078"')], 4)],
  ['ST08 field twice', 'JSON_DUPLICATE', fields([x.replace('"shape"', '"dtype":"F32","shape"')], 4)],
  ['ST08 unknown field', 'SAFETENSORS_HEADER', fields([x.replace('"shape"', '"more":1,"shape"')], 4)],
  ['ST08 missing field', 'SAFETENSORS_HEADER', file('{"x":{"dtype":"F32","shape":[1]}}', 4)],
  [
    'ST08 inherited field',
    'SAFETENSORS_HEADER',
    file('{"x":{"__proto__":{},"shape":[1],"data_offsets":[0,4]}}', 4),
  ],
  ['ST09 empty name', 'TENSOR_NAME', named('')],
  ['ST09 1 MB name', 'TENSOR_NAME', named('x'.repeat(1e6))],
  ['ST09 terminal escape in a name', 'TENSOR_NAME', named('\u001b[2J')],
  ['ST10 unknown dtype', 'SAFETENSORS_DTYPE', tensor('F31', '[1]', 0, 4)],
  ['ST10 dtype of the prototype', 'SAFETENSORS_DTYPE', tensor('constructor', '[1]', 0, 4)],
  ['ST10 dtype is a number', 'SAFETENSORS_DTYPE', fields([x.replace('"F32"', '4')], 4)],
  ...notDigits.flatMap((number): HostileFile[] => [
    [`ST11 shape [${number}]`, 'JSON_NUMBER', tensor('F32', `[${number}]`, 0, 4)],
    [`ST11 begin ${number}`, 'JSON_NUMBER', tensor('F32', '[1]', number, 4)],
    [`ST11 end ${number}`, 'JSON_NUMBER', tensor('F32', '[1]', 0, number)],
  ]),
  ['ST11 +1', 'JSON_SYNTAX', tensor('F32', '[+1]', 0, 4)],
  ['ST11 NaN', 'JSON_SYNTAX', tensor('F32', '[NaN]', 0, 4)],
  ['ST11 shape of text', 'SAFETENSORS_HEADER', tensor('F32', '["1"]', 0, 4)],
  ['ST11 shape is no list', 'SAFETENSORS_HEADER', tensor('F32', '1', 0, 4)],
  ['ST11 shape in a list', 'SAFETENSORS_HEADER', tensor('F32', '[[1]]', 0, 4)],
  ['ST11 33 dimensions', 'TENSOR_SHAPE', tensor('F32', `[${Array(33).fill(1).join()}]`, 0, 4)],
  ['ST12 begin after end', 'SAFETENSORS_OFFSETS', tensor('F32', '[1]', 4, 0)],
  ['ST12 three offsets', 'SAFETENSORS_OFFSETS', fields([x.replace('[0,4]', '[0,4,4]')], 4)],
  ['ST12 one offset', 'SAFETENSORS_OFFSETS', fields([x.replace('[0,4]', '[0]')], 4)],
  ['ST12 no offsets', 'SAFETENSORS_OFFSETS', fields([x.replace('[0,4]', '[]')], 4)],
  ['ST13 span is not the size', 'SAFETENSORS_SPAN', tensor('F32', '[2]', 0, 4)],
  ['ST14 overflow', 'TENSOR_OVERFLOW', tensor('U8', '[4294967296,4294967296]', 0, 4)],
  ['ST14 overflow before a 0', 'TENSOR_OVERFLOW', tensor('U8', '[4294967296,4294967296,0]', 0, 0, 0)],
  ['ST14 overflow after a 0', 'TENSOR_OVERFLOW', tensor('U8', '[0,4294967296,4294967296]', 0, 0, 0)],
  ['ST15 overlap', 'SAFETENSORS_OVERLAP', fields([x, headerField('y', 'F32', '[1]', 2, 6)], 6)],
  ['ST15 same bytes twice', 'SAFETENSORS_OVERLAP', fields([x, headerField('y', 'F32', '[1]', 0, 4)], 4)],
  [
    'ST15 empty tensor inside another',
    'SAFETENSORS_OVERLAP',
    fields([x, headerField('y', 'F32', '[0]', 2, 2)], 4),
  ],
  ['ST16 hole', 'SAFETENSORS_HOLE', fields([x, headerField('y', 'F32', '[1]', 5, 9)], 9)],
  ['ST16 hole at the start', 'SAFETENSORS_HOLE', tensor('F32', '[1]', 1, 5, 5)],
  ['ST17 trailing byte', 'SAFETENSORS_TRAILING', fields([x], 5)],
  ['ST17 data but no tensors', 'SAFETENSORS_TRAILING', file('{}', 1)],
  ['ST18 one byte short', 'SAFETENSORS_TRUNCATED', fields([x], 3)],
  ['ST18 claims 4 PB', 'SAFETENSORS_TRUNCATED', tensor('U8', `[${2 ** 52}]`, 0, 2 ** 52)],
  ['ST21 metadata is a list', 'SAFETENSORS_METADATA', file('{"__metadata__":[]}')],
  ['ST21 metadata with a number', 'SAFETENSORS_METADATA', file('{"__metadata__":{"a":1}}')],
  ['ST21 metadata with an object', 'SAFETENSORS_METADATA', file('{"__metadata__":{"a":{}}}')],
  ['ST21 metadata twice', 'JSON_DUPLICATE', file('{"__metadata__":{},"__metadata__":{}}')],
  ['ST23 five levels', 'JSON_DEPTH', file('{"x":[[[[]]]]}')],
  ['ST23 five million levels', 'JSON_DEPTH', file('['.repeat(5_000_000))],
  ['lone surrogate', 'JSON_SURROGATE', file('{"\\ud800":null}')],
  ['surrogates the wrong way round', 'JSON_SURROGATE', file('{"\\udc00\\ud800":null}')],
  ['line break in a name', 'JSON_SYNTAX', file('{"\n":null}')],
  ['unknown escape', 'JSON_SYNTAX', file('{"\\x41":null}')],
]
