"""What hangs on a function besides its code and configuration: one module for each thing, behind `Aspect`.

Each says what is wanted, reads what is, and names the calls between the two; nothing here decides an order.
"""
