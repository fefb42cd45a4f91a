/**
 * top_k keeps the best, and is the same choice on every backend: ties go to the lower index.
 */
import * as laws from '../../src/verify/ops/top_k.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
