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
import { lawsOfPages } from '../../src/verify/ops/index.ts'
import { overKernels } from '../harness/backends.ts'
import { stateLaws } from '../harness/state.ts'

const { agreement } = lawsOfPages
const { small = [], random = [] } = Object.groupBy(agreement, ({ arbitraries }) =>
  Object.keys(arbitraries).length === 0 ? 'small' : 'random',
)
stateLaws({ 'random sizes': random })
stateLaws({ 'small sizes': small }, overKernels)
