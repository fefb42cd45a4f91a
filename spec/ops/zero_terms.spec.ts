/**
 * An input of zero is no term of an input-major product, in any storage: with zeros anywhere among its inputs it has the bits
 * of its definition, and those of the inputs that are not zero alone.
 */
import * as laws from '../../src/verify/ops/zero_terms.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
