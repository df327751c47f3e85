"""A stand-in for Stripe: the calls of its published API that the platform makes, its Checkout, its customer
portal, its invoice pages and its signed webhooks.
"""
