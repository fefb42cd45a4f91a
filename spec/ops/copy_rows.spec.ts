/**
 * Rows are copied whole: what packing is made of.
 */
import * as laws from '../../src/verify/ops/copy_rows.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
