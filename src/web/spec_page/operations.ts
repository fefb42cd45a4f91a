/**
 * The page of the operations: its bar says where the reader of a phone is. The page is whole without this.
 */
import { startHere } from './stops.ts'

startHere()
