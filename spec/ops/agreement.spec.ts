/**
 * One op, one set of numbers, on every backend.
 *
 * The function in src/ops is the definition. Each backend's kernel is called with every size from 0 to 33 (twice the
 * lanes of a striped reduction, and one), at every offset of its arrays, with every optional array there and not,
 * with permitted aliasing, on data with ties, signed zeros, subnormals, huge numbers, infinities and NaN; then at
 * random sizes that cross the tiles of a blocked GEMM. It must give the reference's bits, or stay within the bound the
 * catalogue row states, and touch nothing else (src/testing/op_call.ts).
 *
 * Tests src/backends/reference.ts and src/ops/contracts/.
 */
import { kernelNames } from '../../src/ops/catalog.ts'
import { everySmallSize, randomSizes } from '../../src/verify/ops/agreement.ts'
import { overKernels } from '../harness/backends.ts'
import { KnownCalls, LastCalls } from '../harness/known_calls.ts'
import { stateLawByLaw } from '../harness/state.ts'

const known = new KnownCalls()
const last = new LastCalls()

stateLawByLaw(
  'random sizes',
  kernelNames.map((name) => randomSizes(name, known)),
)
stateLawByLaw(
  'small sizes',
  kernelNames.map((name) => everySmallSize(name, last)),
  overKernels,
)
