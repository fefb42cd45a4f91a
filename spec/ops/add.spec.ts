/**
 * add rounds once.
 */
import * as laws from '../../src/verify/ops/add.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
