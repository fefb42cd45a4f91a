/**
 * The list of hostile pickles, PK02 to PK22, but for those that import something or are legal: `pickle.spec.ts` has them.
 */
import { concat } from './hostile.ts'
import { dict, floatTensor, P, pickle, sizes, storage, tensor, tuple } from './hostile_torch.ts'

const f32 = storage('FloatStorage', '0', P.int(6))

/** Everything of the list that is refused for something else than an import: what it is, the code, the bytes. */
export const refusedPickles: [what: string, code: string, bytes: Uint8Array][] = [
  ['no bytes', 'PICKLE_TRUNCATED', new Uint8Array(0)],
  ...[0x6f, 0x81, 0x82, 0x83, 0x84, 0x92, 0x50, 0x32, 0x30, 0x8f, 0x95, 0x97, 0xff, 0x00].map(
    (code): [string, string, Uint8Array] => [
      `PK02 PK06 opcode ${code}`,
      'PICKLE_OPCODE',
      pickle('N', 'N', '(', [code]),
    ],
  ),
  ['PK04 REDUCE on a storage type', 'PICKLE_CALL', pickle(P.global('torch', 'FloatStorage'), ')R')],
  ['PK04 REDUCE on text', 'PICKLE_CALL', pickle(P.text('os.system'), ')R')],
  ['PK04 REDUCE without a tuple', 'PICKLE_CALL', pickle(P.global('collections', 'OrderedDict'), 'N', 'R')],
  [
    'PK04 OrderedDict of items',
    'PICKLE_CALL',
    pickle(P.global('collections', 'OrderedDict'), ']', [0x85], 'R'),
  ],
  [
    'PK04 a tensor of seven arguments',
    'PICKLE_CALL',
    pickle(
      P.global('torch._utils', '_rebuild_tensor_v2'),
      tuple(f32, ...Array.from({ length: 6 }, () => P.none)),
      'R',
    ),
  ],
  ['PK05 BUILD on a tensor', 'PICKLE_BUILD', pickle(floatTensor('0', [1]), '}b')],
  ['PK05 BUILD on a plain dict', 'PICKLE_BUILD', pickle('}', '}b')],
  ['PK05 BUILD with a tuple', 'PICKLE_BUILD', pickle(P.ordered, 'N', '}', [0x86], 'b')],
  ['PK05 BUILD on a function', 'PICKLE_BUILD', pickle(P.global('collections', 'OrderedDict'), '}b')],
  ['PK08 two pickles', 'PICKLE_TRAILING', concat(pickle('N'), pickle('N'))],
  ['PK08 a byte after STOP', 'PICKLE_TRAILING', concat(pickle('N'), [0])],
  ['PK09 a memo that is not there', 'PICKLE_MEMO', pickle('h', [3])],
  ['PK09 memo 2^32 - 1', 'PICKLE_MEMO', pickle('j', [255, 255, 255, 255])],
  ['PK09 PUT with nothing to remember', 'PICKLE_STACK', pickle('q', [0])],
  ['PK09 PUT of a mark', 'PICKLE_STACK', pickle('(', 'q', [0])],
  ['PK10 STOP on an empty stack', 'PICKLE_STACK', pickle()],
  ['PK10 STOP with two values', 'PICKLE_STACK', pickle('NN')],
  ['PK10 STOP with a mark', 'PICKLE_STACK', pickle('(')],
  ['PK10 STOP with a value on a mark', 'PICKLE_STACK', pickle('(N')],
  ['PK10 TUPLE without a mark', 'PICKLE_STACK', pickle('Nt')],
  ['PK10 TUPLE3 of two', 'PICKLE_STACK', pickle('NN', [0x87])],
  ['PK10 TUPLE2 across a mark', 'PICKLE_STACK', pickle('N(N', [0x86])],
  ['PK10 REDUCE of one', 'PICKLE_STACK', pickle('NR')],
  ['PK11 text of 4 GB', 'PICKLE_TRUNCATED', pickle('X', [255, 255, 255, 255])],
  ['PK11 text past the end', 'PICKLE_TRUNCATED', pickle('X', [2, 0, 0, 0], 'a')],
  ['PK11 text that is not UTF-8', 'PICKLE_TEXT', pickle('X', [1, 0, 0, 0, 0xff])],
  ['PK11 a name of 300 bytes', 'PICKLE_TEXT', pickle(`c${'x'.repeat(300)}\nx\n`)],
  ['PK11 a name without an end', 'PICKLE_TEXT', concat([0x80, 2], 'cos')],
  ['PK11 a name that is not UTF-8', 'PICKLE_TEXT', pickle('c', [0xff], '\nx\n')],
  ['PK12 an integer of 255 bytes', 'PICKLE_INTEGER', pickle([0x8a, 255], new Uint8Array(255))],
  ['PK12 an integer past 2^53', 'PICKLE_INTEGER', pickle(P.long(2n ** 53n))],
  ['PK12 an integer of 2^63', 'PICKLE_INTEGER', pickle(P.long(2n ** 63n))],
  ['PK12 an integer that is cut', 'PICKLE_TRUNCATED', concat([0x80, 2, 0x8a, 8], 'abc')],
  ['PK15 SETITEMS of three', 'PICKLE_ITEMS', pickle('}(', P.text('a'), 'N', P.text('b'), 'u')],
  ['PK15 SETITEMS on a list', 'PICKLE_ITEMS', pickle('](', P.text('a'), 'N', 'u')],
  ['PK15 APPENDS on a dict', 'PICKLE_ITEMS', pickle('}(', P.text('a'), 'e')],
  ['PK15 a key twice', 'PICKLE_DUPLICATE', pickle(dict([P.text('a'), [78]], [P.text('a'), [78]]))],
  ...[0, 1, 3, 4, 5, 6, 255].map((protocol): [string, string, Uint8Array] => [
    `PK16 protocol ${protocol}`,
    'PICKLE_PROTOCOL',
    concat([0x80, protocol], 'N.'),
  ]),
  ['PK16 no protocol', 'PICKLE_PROTOCOL', concat('N.')],
  ['PK16 protocol said twice', 'PICKLE_OPCODE', pickle([0x80, 2], 'N')],
  ['PK17 an id that is no tuple', 'PICKLE_PERSID', pickle(P.text('storage'), 'Q')],
  [
    'PK17 another tag',
    'PICKLE_PERSID',
    pickle(
      tuple(P.text('module'), P.global('torch', 'FloatStorage'), P.text('0'), P.text('cpu'), P.int(1)),
      'Q',
    ),
  ],
  [
    'PK17 four items',
    'PICKLE_PERSID',
    pickle(tuple(P.text('storage'), P.global('torch', 'FloatStorage'), P.text('0'), P.text('cpu')), 'Q'),
  ],
  [
    'PK17 a type that is none',
    'PICKLE_PERSID',
    pickle(tuple(P.text('storage'), P.text('F32'), P.text('0'), P.text('cpu'), P.int(1)), 'Q'),
  ],
  ...['../x', '/etc/passwd', '', '0/1', '-1', '1e3', '٣', '1'.repeat(21)].map(
    (key): [string, string, Uint8Array] => [
      `PK18 key ${JSON.stringify(key)}`,
      'PICKLE_STORAGE_KEY',
      pickle(storage('FloatStorage', key, P.int(1))),
    ],
  ),
  ['PK19 a negative length', 'PICKLE_TENSOR', pickle(storage('FloatStorage', '0', P.int(-1)))],
  ['PK19 a length of text', 'PICKLE_TENSOR', pickle(storage('FloatStorage', '0', P.text('1')))],
  ['PK19 a length of True', 'PICKLE_TENSOR', pickle(storage('FloatStorage', '0', P.true))],
  ['PK19 a length as a float', 'PICKLE_TENSOR', pickle(storage('FloatStorage', '0', P.float))],
  ['PK19 a negative offset', 'PICKLE_TENSOR', pickle(tensor(f32, P.int(-1), sizes(1), sizes(1)))],
  ['PK19 a negative size', 'PICKLE_TENSOR', pickle(tensor(f32, P.int(0), sizes(-1), sizes(1)))],
  ['PK19 a negative stride', 'PICKLE_TENSOR', pickle(tensor(f32, P.int(0), sizes(1), sizes(-1)))],
  ['PK19 a shape that is a list', 'PICKLE_TENSOR', pickle(tensor(f32, P.int(0), P.emptyList, sizes()))],
  ['PK19 a shape of tuples', 'PICKLE_TENSOR', pickle(tensor(f32, P.int(0), tuple(sizes(1)), sizes(1)))],
  ['PK19 no storage', 'PICKLE_TENSOR', pickle(tensor(P.none, P.int(0), sizes(1), sizes(1)))],
  [
    'PK19 hooks',
    'PICKLE_TENSOR',
    pickle(tensor(f32, P.int(0), sizes(1), sizes(1), dict([P.text('a'), P.none]))),
  ],
  ['PK19 hooks that are none', 'PICKLE_TENSOR', pickle(tensor(f32, P.int(0), sizes(1), sizes(1), P.none))],
  [
    'PK19 a parameter of no tensor',
    'PICKLE_TENSOR',
    pickle(P.global('torch._utils', '_rebuild_parameter'), tuple(f32, P.true, P.ordered), 'R'),
  ],
  ['PK22 a number as a key', 'PICKLE_KEY', pickle(dict([P.int(1), P.none]))],
  ['PK22 None as a key', 'PICKLE_KEY', pickle(dict([P.none, P.none]))],
  ['PK22 a tuple as a key', 'PICKLE_KEY', pickle(dict([tuple(), P.none]))],
]
