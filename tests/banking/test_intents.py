import csv
import datetime
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

import teller
from teller.banking.intents import recognise
from teller.banking.marks import mark
from teller.banking.products import load_catalogue
from teller.banking.slots import fill
from teller.turn import Question
from teller.values import find_values

BANK = Path(teller.__file__).parent / "data" / "bank"
CATALOGUE = load_catalogue((BANK / "catalogue.toml").read_text(encoding="utf-8"), "catalogue.toml")
ACCOUNTS = {"easy_saver", "notice_saver", "regular_saver", "fixed_saver", "cash_isa"}


def marked(text):
    return mark(Question(text, find_values(text, CATALOGUE)), ACCOUNTS)


# What is said, and below it the tool and its values.
CALCULATIONS = """
interest on £4,000 in the cash isa over two years
    savings_interest amount=4000.00 account=cash_isa term=P24M
what would I have to put away monthly to reach £5,000 in 20 months
    savings_deposit goal=5000.00 term=P20M
if I borrowed nine thousand over five years and paid for two years what is it to settle it
    loan_early_repayment amount=9000.00 term=P60M after=P24M
how much would a loan of ten thousand over five years cost me a month
    loan_payment amount=10000.00 term=P60M
what would I pay monthly on 10k over 5 years at 6.5%
    loan_payment amount=10000.00 term=P60M rate=6.5
monthly repayments for £15,000 loan 48 months
    loan_payment amount=15000.00 term=P48M
If I borrow £10,000 over five years, what are the monthly payments?
    loan_payment amount=10000.00 term=P60M
if i borrowed eight thousand pounds for three years how much would i pay back each month
    loan_payment amount=8000.00 term=P36M
I'd like to borrow £12,500 over 5 years. What would the repayments be?
    loan_payment amount=12500.00 term=P60M
whats the monthly cost of a 7k loan over 3 years
    loan_payment amount=7000.00 term=P36M
could you tell me the monthly instalment on twenty thousand pounds over seven years
    loan_payment amount=20000.00 term=P84M
work out the repayments on a 5000 pound loan over two years
    loan_payment amount=5000.00 term=P24M
um so like ten thousand over five years at five percent
    loan_payment amount=10000.00 term=P60M rate=5
ten thousand over five years at six point five percent what would that be a month
    loan_payment amount=10000.00 term=P60M rate=6.5
how much a month for a six thousand pound loan
    loan_payment amount=6000.00
what would a five year loan cost me each month
    loan_payment term=P60M
how much a month would a loan cost me
    loan_payment
can you calculate a loan for me
    loan_payment
I want to know what my loan payments would be
    loan_payment
loan of 10000 over 60 months at 4.9% APR
    loan_payment amount=10000.00 term=P60M rate=4.9 APR
£3k for a year and a half, what's the monthly payment
    loan_payment amount=3000.00 term=P18M
calculate the loan repayment on £9,500 for 4 years please
    loan_payment amount=9500.00 term=P48M
my name is [name] and I would like to know what I'd pay each month on a loan of £10,000 over 5 years
    loan_payment amount=10000.00 term=P60M
a loan for 25 grand spread over 6 years, how much per month
    loan_payment amount=25000.00 term=P72M
suppose I take out a loan for four thousand for a year what do I pay
    loan_payment amount=4000.00 term=P12M
how much are the payments on an eleven thousand pound loan over five years
    loan_payment amount=11000.00 term=P60M
what'd it set me back a month to borrow sixteen grand over five years
    loan_payment amount=16000.00 term=P60M
£7500 loan, two and a half years - monthly payment?
    loan_payment amount=7500.00 term=P30M
how much would I pay back in total on a £10,000 loan over 5 years
    loan_total_cost amount=10000.00 term=P60M
what's the total cost of borrowing 8 thousand over four years
    loan_total_cost amount=8000.00 term=P48M
how much interest would I pay on a loan of £5,000 over 3 years
    loan_total_cost amount=5000.00 term=P36M
total amount payable on 6k over 2 years at 7 percent
    loan_total_cost amount=6000.00 term=P24M rate=7
if I borrow 15,000 for five years how much do I repay altogether
    loan_total_cost amount=15000.00 term=P60M
how much extra would I pay back if I borrowed ten grand for three years
    loan_total_cost amount=10000.00 term=P36M
total cost of a loan
    loan_total_cost
what will nine thousand over four years cost me overall
    loan_total_cost amount=9000.00 term=P48M
show me the payment schedule for a £10,000 loan over 5 years
    amortisation_schedule amount=10000.00 term=P60M
amortization schedule 12000 48 months 6 percent
    amortisation_schedule amount=12000.00 term=P48M rate=6
can I have a month by month breakdown of an eight thousand pound loan over three years
    amortisation_schedule amount=8000.00 term=P36M
repayment table for five thousand over two years
    amortisation_schedule amount=5000.00 term=P24M
amortisation schedule for a loan please
    amortisation_schedule
what if I pay it off after two years
    loan_early_repayment after=P24M
if I borrow £10,000 over five years and pay it off after two what would I save
    loan_early_repayment amount=10000.00 term=P60M after=P24M
how much would it cost to settle a 12k loan over 4 years after 18 months
    loan_early_repayment amount=12000.00 term=P48M after=P18M
say I took fifteen thousand over seven years and cleared it after three years
    loan_early_repayment amount=15000.00 term=P84M after=P36M
if I take 9000 over 5 years and repay it in full after 36 months how much is left to pay
    loan_early_repayment amount=9000.00 term=P60M after=P36M
how much can I borrow for 200 a month
    borrow_for_payment payment=200.00
how much could I borrow for £250 a month over five years
    borrow_for_payment payment=250.00 term=P60M
if I can afford a hundred and fifty pounds a month what size loan could I get over three years
    borrow_for_payment payment=150.00 term=P36M
what loan would £300 per month get me over 48 months
    borrow_for_payment payment=300.00 term=P48M
with monthly payments of 180 how much would you lend me
    borrow_for_payment payment=180.00
i can pay four hundred quid a month for five years how much can i borrow
    borrow_for_payment payment=400.00 term=P60M
how long would it take to pay off a £10,000 loan at £200 a month
    loan_term amount=10000.00 payment=200.00
if I borrow six thousand and pay 150 a month how long will it take
    loan_term amount=6000.00 payment=150.00
what if I pay an extra £50 a month on a 10k loan over 5 years
    loan_overpayment amount=10000.00 term=P60M extra=50.00
how much interest would I earn on £5,000 in a year
    savings_interest amount=5000.00 term=P12M
how much would twenty thousand pounds grow to in two years
    savings_interest amount=20000.00 term=P24M
what interest would I get on 10,000 over three years at 4 percent
    savings_interest amount=10000.00 term=P36M rate=4
how much interest will a thousand pounds earn
    savings_interest amount=1000.00
if I save 200 a month for five years how much will I have
    savings_interest deposit=200.00 term=P60M
what would £8,000 earn in the cash ISA over 12 months
    savings_interest amount=8000.00 term=P12M account=cash_isa
if I put five thousand in savings for six months what will I get
    savings_interest amount=5000.00 term=P6M
what would £100 a month in the regular saver be worth after a year
    savings_interest deposit=100.00 term=P12M account=regular_saver
I've got 2,000 pounds and I'd put away 50 a month for 2 years, how much would I end up with
    savings_interest amount=2000.00 deposit=50.00 term=P24M
how long would it take to save £5,000 if I put away £200 a month
    savings_goal goal=5000.00 deposit=200.00
how many months until I have ten thousand saving three hundred a month
    savings_goal goal=10000.00 deposit=300.00
how long will it take me to save up three thousand pounds
    savings_goal goal=3000.00
saving £450 a month, when will I reach £20,000
    savings_goal goal=20000.00 deposit=450.00
how much do I need to save each month to have £5,000 in two years
    savings_deposit goal=5000.00 term=P24M
how much should I put away a month to get to twelve thousand in three years
    savings_deposit goal=12000.00 term=P36M
what's ten grand over five years going to cost me
    loan_payment amount=10000.00 term=P60M
how much per month if I lend 5000 off you for 2 years
    loan_payment amount=5000.00 term=P24M
give me a quote on 12000 over 4 years
    loan_payment amount=12000.00 term=P48M
I need £8,000, paying it back over three years, what's that monthly
    loan_payment amount=8000.00 term=P36M
can you tell me how much the repayments would be on 15 thousand pounds over 6 years at 7.9%
    loan_payment amount=15000.00 term=P72M rate=7.9
can i get a monthly figure for a £10,000 loan over five years
    loan_payment amount=10000.00 term=P60M
whats 10000 over 5 years
    loan_payment amount=10000.00 term=P60M
price up a loan for me, 10k, 5 years
    loan_payment amount=10000.00 term=P60M
how much would it be each month for a loan of 5000 pounds if i took it over 24 months
    loan_payment amount=5000.00 term=P24M
if I had a loan of 10,000 for 3 years at your rate what would I pay
    loan_payment amount=10000.00 term=P36M
monthly payment 10000 5 years
    loan_payment amount=10000.00 term=P60M
how much would I have to pay back each month if I took ten thousand out for five years
    loan_payment amount=10000.00 term=P60M
what's the repayment on a ten thousand pound loan
    loan_payment amount=10000.00
how much is a 10,000 loan
    loan_payment amount=10000.00
payments for a loan of 10 thousand pound
    loan_payment amount=10000.00
I wanna borrow five grand, two years, how much a month
    loan_payment amount=5000.00 term=P24M
yeah hi um i was wondering how much it'd be to borrow like ten thousand pounds over you know five years
    loan_payment amount=10000.00 term=P60M
suppose that I need to borrow £10,000 and pay it back over five years, what would that look like per month?
    loan_payment amount=10000.00 term=P60M
how much would I be paying a month for six thousand pounds across three years
    loan_payment amount=6000.00 term=P36M
i'd like to know the cost of a £7,000 personal loan over 4 years
    loan_payment amount=7000.00 term=P48M
what would the total be if I borrowed 5000 for a year
    loan_total_cost amount=5000.00 term=P12M
how much do I end up paying in total for ten thousand over five years
    loan_total_cost amount=10000.00 term=P60M
if I leave ten thousand pounds in the easy saver for three years what will it be worth
    savings_interest amount=10000.00 term=P36M account=easy_saver
what's the interest on £5,000 in your notice saver over a year
    savings_interest amount=5000.00 term=P12M account=notice_saver
how much would I make on 20 grand in a fixed saver for 2 years
    savings_interest amount=20000.00 term=P24M account=fixed_saver
how much do I get back in interest on £1000 saved for a year
    savings_interest amount=1000.00 term=P12M
i can save 250 quid a month how long till i've got 8 grand
    savings_goal goal=8000.00 deposit=250.00
how many years would it take to save 50,000 at 500 a month
    savings_goal goal=50000.00 deposit=500.00
I want to save 10 grand in 3 years how much a month is that
    savings_deposit goal=10000.00 term=P36M
what could I borrow if I paid back £220 monthly
    borrow_for_payment payment=220.00
what's the most I could borrow paying 300 pounds a month over 4 years
    borrow_for_payment payment=300.00 term=P48M
how much would I save by paying off a 12k loan over 6 years after 3 years
    loan_early_repayment amount=12000.00 term=P72M after=P36M
if I overpay by £100 a month on a 15k loan over 5 years how much sooner is it paid off
    loan_overpayment amount=15000.00 term=P60M extra=100.00
can you work out what I'd be paying each month if I took out ten thousand pounds over five years
    loan_payment amount=10000.00 term=P60M
£4,500 over 2 years - how much monthly?
    loan_payment amount=4500.00 term=P24M
what are repayments like on eighteen thousand over six years
    loan_payment amount=18000.00 term=P72M
thinking about a six and a half thousand pound loan for three years, what'll the payments be
    loan_payment amount=6500.00 term=P36M
two grand over twelve months please
    loan_payment amount=2000.00 term=P12M
give me the monthly payment for a loan of 10,000 at 5.9% for 4 years
    loan_payment amount=10000.00 term=P48M rate=5.9
so if I get a five thousand loan and spread it across five years what's the damage each month
    loan_payment amount=5000.00 term=P60M
how much are repayments on a £7,500 loan
    loan_payment amount=7500.00
monthly instalments on fourteen thousand pounds for seven years
    loan_payment amount=14000.00 term=P84M
calculate monthly payment principal 10000 rate 6.5 percent term 60 months
    loan_payment amount=10000.00 term=P60M rate=6.5
I want to take a loan of 3500 for 18 months what will it cost me per month
    loan_payment amount=3500.00 term=P18M
can you tell me what a 20k loan costs per month over 5 years
    loan_payment amount=20000.00 term=P60M
we're looking to borrow twelve thousand over three years how much is that going to be
    loan_payment amount=12000.00 term=P36M
I need 8k for a new kitchen, over four years what would I be looking at monthly
    loan_payment amount=8000.00 term=P48M
fifteen thousand pound loan five years how much
    loan_payment amount=15000.00 term=P60M
how much would repayments be on a loan over three years
    loan_payment term=P36M
could I have an idea of the monthly cost for borrowing nine thousand over sixty months
    loan_payment amount=9000.00 term=P60M
i was thinking of borrowing five thousand, how much per month over 36 months
    loan_payment amount=5000.00 term=P36M
in total how much would I end up paying on a seven thousand pound loan over five years
    loan_total_cost amount=7000.00 term=P60M
what does a £10,000 loan over five years cost altogether
    loan_total_cost amount=10000.00 term=P60M
how much interest is there on a 5k loan over 24 months
    loan_total_cost amount=5000.00 term=P24M
what would be the total repayable on 20,000 over six years
    loan_total_cost amount=20000.00 term=P72M
give me a full payment schedule on ten thousand over three years
    amortisation_schedule amount=10000.00 term=P36M
break down the payments month by month for a 6000 loan for 2 years
    amortisation_schedule amount=6000.00 term=P24M
suppose I borrowed ten thousand over five years and wanted to settle after three, what would I have to pay
    loan_early_repayment amount=10000.00 term=P60M after=P36M
what's the settlement on an £8,000 loan over four years if I clear it after 12 months
    loan_early_repayment amount=8000.00 term=P48M after=P12M
what size of loan can I get if I pay 275 pounds a month for five years
    borrow_for_payment payment=275.00 term=P60M
I can only manage a hundred pounds a month, how much could I borrow
    borrow_for_payment payment=100.00
paying back £350 a month for three years, how much would that let me borrow
    borrow_for_payment payment=350.00 term=P36M
how much will I make on fifteen thousand pounds in a savings account over a year
    savings_interest amount=15000.00 term=P12M
if I save £3,000 for two years, what's the interest
    savings_interest amount=3000.00 term=P24M
what will ten thousand pounds be worth after five years in savings
    savings_interest amount=10000.00 term=P60M
putting away £150 every month for three years, what would that come to
    savings_interest deposit=150.00 term=P36M
what return would I get on 25k in the fixed saver for a year
    savings_interest amount=25000.00 term=P12M account=fixed_saver
how much tax free interest on five grand in a cash ISA over twelve months
    savings_interest amount=5000.00 term=P12M account=cash_isa
if I put by £250 a month how long before I have £6,000
    savings_goal goal=6000.00 deposit=250.00
how long to save fifteen thousand at four hundred a month
    savings_goal goal=15000.00 deposit=400.00
when would I have two thousand pounds if I saved a hundred pounds a month
    savings_goal goal=2000.00 deposit=100.00
to save £3,000 in a year how much do I need to put away every month
    savings_deposit goal=3000.00 term=P12M
how much a month to save eight thousand in two years
    savings_deposit goal=8000.00 term=P24M
right, I'm after ten grand over five years, what are we talking per month
    loan_payment amount=10000.00 term=P60M
if I took eight and a half thousand over four years what would it cost me
    loan_payment amount=8500.00 term=P48M
a thirteen thousand pound loan paid back over 5 years would be how much monthly
    loan_payment amount=13000.00 term=P60M
just wondering what £2,500 over a year would come out at each month
    loan_payment amount=2500.00 term=P12M
and if the rate was 8 percent on ten thousand over five years what would I pay
    loan_payment amount=10000.00 term=P60M rate=8
monthly on 6k across 3 years
    loan_payment amount=6000.00 term=P36M
how much are we looking at for nineteen thousand over six years
    loan_payment amount=19000.00 term=P72M
for a loan of four thousand pounds, what's the payment over two years
    loan_payment amount=4000.00 term=P24M
twelve thousand over five years, what's the total I'd repay
    loan_total_cost amount=12000.00 term=P60M
how much would borrowing £3,000 for two years cost me in interest
    loan_total_cost amount=3000.00 term=P24M
what could I borrow for two hundred a month over four years
    borrow_for_payment payment=200.00 term=P48M
my budget is £500 a month for 5 years, what size loan is that
    borrow_for_payment payment=500.00 term=P60M
I'd borrow twenty thousand over six years but if I cleared it after two years what would it cost
    loan_early_repayment amount=20000.00 term=P72M after=P24M
amortisation table for £10,000 over 60 months at 6% APR
    amortisation_schedule amount=10000.00 term=P60M rate=6 APR
what would I get on twelve thousand in savings over two years
    savings_interest amount=12000.00 term=P24M
how much does seven grand earn in the notice saver in a year
    savings_interest amount=7000.00 term=P12M account=notice_saver
saving £250 a month for 4 years, how much would I end up with
    savings_interest deposit=250.00 term=P48M
four thousand at three percent interest for three years, what does it grow to
    savings_interest amount=4000.00 term=P36M rate=3
how long till I've saved ten thousand pounds at £250 a month
    savings_goal goal=10000.00 deposit=250.00
I need six thousand in eighteen months, how much should I save every month
    savings_deposit goal=6000.00 term=P18M
i don't know how much a loan of ten thousand over five years would be a month, can you tell me
    loan_payment amount=10000.00 term=P60M
tell me about repayments if I borrow £5,000 for three years
    loan_payment amount=5000.00 term=P36M
£11,500 personal loan for 4 years, monthly payments?
    loan_payment amount=11500.00 term=P48M
what would nine grand over two years work out at each month
    loan_payment amount=9000.00 term=P24M
repayments for sixteen thousand pounds over seven years please
    loan_payment amount=16000.00 term=P84M
how much per month is £7,000 over 3 years at 9.9 APR
    loan_payment amount=7000.00 term=P36M rate=9.9 APR
can you give me an illustration for a £10,000 loan
    loan_payment amount=10000.00
what's the overall cost of borrowing eighteen thousand over five years
    loan_total_cost amount=18000.00 term=P60M
if I borrow five thousand for four years what do I pay back all told
    loan_total_cost amount=5000.00 term=P48M
I'd like a repayment schedule for twenty thousand pounds over seven years
    amortisation_schedule amount=20000.00 term=P84M
say I borrow ten thousand over five years, how much to settle it after a year
    loan_early_repayment amount=10000.00 term=P60M after=P12M
how big a loan could I get for £120 a month
    borrow_for_payment payment=120.00
if I paid £225 each month for five years how much would you lend me
    borrow_for_payment payment=225.00 term=P60M
if I borrow eight thousand and pay back £250 a month when would it be paid off
    loan_term amount=8000.00 payment=250.00
thirty thousand in the fixed saver for two years, how much interest
    savings_interest amount=30000.00 term=P24M account=fixed_saver
what would fifteen hundred pounds earn me over a year
    savings_interest amount=1500.00 term=P12M
if I set aside a hundred pounds every month for two years what will I have
    savings_interest deposit=100.00 term=P24M
at £150 a month how long to save four thousand pounds
    savings_goal goal=4000.00 deposit=150.00
how many months of saving £500 a month to get ten thousand
    savings_goal goal=10000.00 deposit=500.00
how much a month do I have to put away to have £2,400 in a year
    savings_deposit goal=2400.00 term=P12M
"""


LINES = CALCULATIONS.strip().splitlines()


@pytest.mark.parametrize(("said", "wanted"), list(zip(LINES[::2], LINES[1::2], strict=True)))
def test_a_calculation_is_recognised_with_its_values(said, wanted):
    tool, *values = wanted.replace(" APR", "_APR").split()

    asked = marked(said)
    found = recognise(asked)

    assert found is not None, asked.words
    assert found.name == tool, asked.words
    filling = fill(asked, found)
    assert filling.slots == dict(value.replace("_APR", " APR").split("=") for value in values)
    assert not filling.clashes


# What the bank's knowledge, a person or the app answers.
NO_CALCULATIONS = """
what is your loan rate
can I repay my loan early
how do I apply for a loan
what's the minimum loan
my monthly payment was taken twice
can I borrow £10,000 over five years
could I get a loan of five thousand pounds
I paid £200 off my loan and it's not showing
my £15,000 loan hasn't arrived
why did my monthly payment go up to £210
you took £188 twice this month for my loan
how much is left on my loan
how much is my monthly payment
is there a charge for settling my loan after two years
can I pay £500 extra off my loan
how much can I borrow on a mortgage for £900 a month
what would a £200,000 mortgage cost over 25 years
transfer £200 a month to my savings
set up a standing order for £200 a month for 12 months
how long does it take to transfer £5,000
what's the interest rate on a 10,000 loan over 5 years
what APR would I get on £7,000
what's the longest term
i earn £2,000 a month can i get a loan
I earn £2,000 a month, how much can I borrow
I'm on 2000 a month how much could I borrow
my income is £1,800 a month what loan could I have
I earn 25,000 a year how much can I borrow
the app charged me £5 interest on £200
interest of £12.50 was added to my account in March
how much interest did I earn on my £5,000 last year
how much interest would I earn
I deposited £500 two days ago, what happens now
I left my card in the machine with £100, what do I do
if I pay £100 off my credit card each month how long will it take
How much do I need to put in each month to keep my account free, is it £1,500
what happens if I pay in more than £300 a month to the regular saver
if I take £500 out of my fixed saver early what do I get
what interest do you pay on balances over £1,000
I put £5,000 in my ISA in April, when do I get the interest?
what is an amortisation schedule
what does representative APR mean
how do I see my repayment schedule
can I change my payment date from the 5th to the 20th
how much can I borrow
can I top up my loan by £2,000
how long can I have a loan for
what happens if I miss a loan payment
I want to withdraw £300
I've been charged £35.90 interest on my overdraft
how much does it cost to send £10,000 abroad
can I pay £300 over three months on my credit card
do you have a loan calculator in the app
my loan of £10,000 over 5 years was approved, when do I get the money
I applied for £5,000 over 3 years last week
there's a payment of £200 a month I don't recognise
is my £90,000 protected
can I split a £600 purchase over three months
I lent my friend £500 and he won't pay me back
someone borrowed £1,000 in my name
how do I pay my loan
can I have a joint loan
I want to pay off my loan
pay my loan off early
how much do I owe
five years
10000
at 5 percent
what about 12,000 instead
actually make it seven years
I took out a loan of £10,000 over five years and I've lost the paperwork
my loan is £10,000 over five years, when is the last payment
I'm paying £194 a month, can I change the date
my loan payment of £194.79 didn't go out this month
what happens to my loan if I lose my job
can you lower my monthly payments
I can't afford my loan of £250 a month
I can't pay my loan this month
what if I can't pay £200 a month any more
is £10,000 over five years too much to borrow
how much interest have I earned this year
when will I get the £5 interest
why is my interest only £3 on £5,000
do you pay interest on £500 in a current account
what's the best account for £20,000
how do I save £50 a month automatically
I want to put £200 a month into my regular saver
can I put £25,000 in an ISA
how long does it take for £5,000 to clear
how long until my £300 arrives
can I have £5,000 in two weeks
what's 5 percent of 10,000
what is ten thousand euros in pounds
how much is £100 in dollars
how much would it cost me to send £5,000 to spain
I'd like to pay £500 off my loan early
what would I get if I switched my account
how much would I have to pay to close my loan
can you send me a breakdown of my loan payments
show me my payment schedule
what does it cost to have a gold account over a year
how much cashback would I earn on £1,000 of spending
how much would insurance cost me a month
what if I borrow my friend's card
could I borrow from my pension
my son wants to borrow £3,000 over two years, does he need a job
does a loan of £15,000 over 5 years need a guarantor
is the £10,000 loan over five years fixed rate
has my £8,000 loan over four years been paid out
you quoted me £188 a month for 10,000 over five years, is that still valid
how much deposit do I need for a house worth £250,000
I borrowed £5,000 from you in March, what's my balance now
could you tell me when my £200 monthly payment leaves my account
what happens if I stop paying my £10,000 loan after a year
do I get a cheaper rate if I borrow £15,000 over five years
how soon would I get the money if I borrowed £8,000
would you lend £12,000 to somebody over 3 years with bad credit
will a £20,000 loan over seven years affect my credit score
I want to borrow ten thousand pounds over five years for a car, can I do it in the app
is there an early repayment charge on a £10,000 loan over 5 years
you charged me £12 for a late loan payment
I've paid £3,000 of my £10,000 loan, can I stop early
how do I pay £100 a month extra on my loan
my partner and I want a loan of £20,000, can it be joint
what documents would I need for a £15,000 loan over four years
who do I speak to about a loan of £10,000
can I take a payment holiday on my £8,000 loan after six months
the calculator says £194 a month but the letter says £199
why is my repayment £195 when you said £190
I saved £50 by switching, thank you
how much can I save in the regular saver
if I put £5,000 in a fixed saver can I take it out after six months
what happens to my £10,000 when my fixed saver ends in a year
does the easy saver pay interest monthly on £1,000
when does interest on my £2,000 get paid
I'd like to save £200 a month, which account is best
can I have two regular savers of £300 a month
is £20,000 a year the ISA allowance
I put £400 in the wrong account, will I get it back
what would I earn if I worked for you
how much would you give me for my old phone
I lost £500 in a scam, what can I get back
what is the interest on an overdraft of £500 for a month
how much interest will my credit card charge on £1,000
my direct debit of £40 a month went out twice
could you lend me a pen
I'd like to borrow £7,000, what happens next
is it cheaper to borrow £10,000 over three years or five
how much have I got left to pay on my £12,000 loan
what would happen to my £250 a month loan if I died
my loan of six thousand over three years ends in May
the loan calculator gave me £300 for 15,000 over five years, does that include insurance
how many payments are there on a five year loan
how do you work out the interest on a loan
can you explain how loan repayments are worked out
what's the difference between APR and interest
could I pay my loan weekly instead of monthly
I want to make a one off payment of £1,000 to my loan
I'd rather pay £300 a month than £200 on my loan, how do I change it
what would I need to earn to borrow £20,000
do you lend over ten years
how much can I borrow over five years
could I get £5,000 today
what will you do about the £60 you took
what do I get with the gold account for £15 a month
is £15 a month for the gold account worth it
how long do I have to save up to get a mortgage
how much money do I need to open an easy saver
how often is interest paid on savings over £10,000
does the £120,000 protection cover two accounts
I've got £90,000 to invest for five years what do you suggest
"""


@pytest.mark.parametrize("said", NO_CALCULATIONS.strip().splitlines())
def test_what_is_no_calculation_is_left_to_knowledge(said):
    assert recognise(marked(said)) is None, marked(said).words


def test_no_way_of_asking_for_an_approved_answer_is_taken_for_a_calculation():
    claimed = []
    for file in sorted((BANK / "answers").glob("*.toml")):
        for answer in tomllib.loads(file.read_text(encoding="utf-8"))["answer"]:
            if answer["id"] != "loans.calculate":  # it says that the tools can be asked
                claimed += [ask for ask in answer["asks"] if recognise(marked(ask))]

    assert claimed == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Um, £200 a month?", "<r0>"),
        ("200 quid monthly", "<r0>"),
        ("£200/month", "<r0>"),
        ("what would I pay on £200 a month", "what would i pay on <m0> a month"),
        ("£50 a week", "<x0>"),
        ("10k over 5 at 5", "<m0> over <c1> at <c2>"),
        ("over twenty four", "over <c0>"),
        ("over £24", "over <m0>"),
        ("5,000 dollars", "<f0>"),
        ("for 90 days", "for <w0>"),
        ("in two years", "in <d0>"),
        ("in the Cash ISA", "in the <s0>"),
        ("I’d, like, borrow [name] ten grand, please", "i'd like borrow [name] <m0>"),
        ("I would like that", "i would like that"),
        ("it was like 500", "it was <n0>"),
    ],
)
def test_values_are_marked_and_hesitation_is_dropped(said, words):
    assert marked(said).words == words


def test_a_time_that_a_date_was_read_from_is_a_time():
    text = "how much interest would I earn on £5,000 in two years"
    question = Question(text, find_values(text, CATALOGUE, today=datetime.date(2026, 11, 22)))

    asked = mark(question)

    assert fill(asked, recognise(asked)).slots == {"amount": "5000.00", "term": "P24M"}


@pytest.mark.data
def test_other_peoples_banking_questions_are_left_to_knowledge():
    path = Path(__file__).parents[2] / ".." / "shared" / "data" / "banking77" / "train.csv"
    if not path.exists():
        pytest.skip("the public data is not here")
    with path.open(encoding="utf-8", newline="") as file:
        questions = [row["text"] for row in csv.DictReader(file)]

    claimed = [text for text in questions if recognise(marked(text))]

    # None of its 77 intents is a calculation.
    assert Decimal(len(claimed)) / len(questions) < Decimal("0.0005"), claimed
